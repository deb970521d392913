package lab

import (
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// BridgeOptions say what a bridge does. What is zero or nil is the kernel's own
// default.
type BridgeOptions struct {
	// Snooping has the bridge look at IGMP and MLD, and forward multicast to
	// members only. It does so when there is a querier, and not before
	// QueryResponseInterval after the querier began: until then members may
	// not have answered yet.
	Snooping *bool

	// Querier has the bridge ask for members itself, unless it hears somebody
	// with a better right. Over IPv6 it needs a link-local address for that,
	// and over IPv4 it asks from 0.0.0.0 unless QueryUseAddress is set.
	Querier         *bool
	QueryUseAddress *bool

	IGMPVersion uint8 // 2 or 3
	MLDVersion  uint8 // 1 or 2

	// Times and counts of RFC 3376 section 8. A kernel does not take a
	// QueryInterval or StartupQueryInterval of less than a second.
	QueryInterval         time.Duration
	QueryResponseInterval time.Duration
	StartupQueryInterval  time.Duration
	StartupQueryCount     uint32
	LastMemberInterval    time.Duration
	LastMemberCount       uint32

	// Times that the kernel does not derive from the others: how long a report
	// of version 1 or 2 is good for, and a querier that was heard.
	MembershipInterval time.Duration
	QuerierInterval    time.Duration

	// VLANFiltering has the bridge keep VLANs apart. A kernel without the
	// driver for VLANs cannot, and leaves tags alone in any case.
	VLANFiltering *bool
}

// On and Off are for the options that have neither as default.
var On, Off = ptr(true), ptr(false)

func ptr[T any](v T) *T { return &v }

// A Bridge is a kernel's bridge on a node. It is safe for concurrent use.
type Bridge struct {
	node  *Node
	name  string
	index uint32
}

// AddBridge makes a bridge without ports on the node, and brings it up.
func (n *Node) AddBridge(name string, o BridgeOptions) (*Bridge, error) {
	b := &Bridge{node: n, name: name}
	err := n.ns.netlink(func(h *netlink.Handle) error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = name
		if err := h.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			return err
		}
		link, err := h.LinkByName(name)
		if err != nil {
			return err
		}
		b.index = uint32(link.Attrs().Index)
		return nil
	})
	if err != nil {
		return nil, n.wrap("make bridge "+name, err)
	}
	if err := b.Set(o); err != nil {
		return nil, err
	}
	return b, n.Interface(name).SetUp(true)
}

// Name returns the name of the bridge's interface.
func (b *Bridge) Name() string { return b.name }

// Index returns the number of the bridge's interface.
func (b *Bridge) Index() uint32 { return b.index }

// Set changes what is set in o and leaves the rest alone.
func (b *Bridge) Set(o BridgeOptions) error {
	// In one request, the kernel would start its querier with the old times.
	querier := BridgeOptions{Querier: o.Querier}
	o.Querier = nil
	for _, o := range []BridgeOptions{o, querier} {
		if attrs := o.attrs(); len(attrs) > 0 {
			if err := b.set(attrs, o.VLANFiltering != nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// set changes options; vlans says that those of VLANs are among them.
func (b *Bridge) set(attrs []bridgeAttr, vlans bool) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(b.index)
	req.AddData(msg)
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("bridge"))
	data := info.AddRtAttr(nl.IFLA_INFO_DATA, nil)
	for _, a := range attrs {
		data.AddRtAttr(a.kind, a.value)
	}
	req.AddData(info)
	err := b.node.Do(func() error {
		_, err := req.Execute(unix.NETLINK_ROUTE, 0)
		return err
	})
	if err != nil && vlans && errors.Is(err, unix.EOPNOTSUPP) {
		err = &hinted{err, "the kernel needs CONFIG_BRIDGE_VLAN_FILTERING; without, a bridge does not look at tags"}
	}
	return b.node.wrap("set options of bridge "+b.name, err)
}

// A bridgeAttr is an option as the kernel takes it.
type bridgeAttr struct {
	kind  int
	value []byte
}

// attrs returns what is set.
func (o BridgeOptions) attrs() (attrs []bridgeAttr) {
	for _, f := range []struct {
		kind  int
		value *bool
	}{
		{unix.IFLA_BR_MCAST_SNOOPING, o.Snooping},
		{unix.IFLA_BR_MCAST_QUERIER, o.Querier},
		{unix.IFLA_BR_MCAST_QUERY_USE_IFADDR, o.QueryUseAddress},
		{unix.IFLA_BR_VLAN_FILTERING, o.VLANFiltering},
	} {
		if f.value != nil {
			attrs = append(attrs, bridgeAttr{f.kind, flagAttr(*f.value)})
		}
	}
	for _, v := range []struct {
		kind  int
		value uint8
	}{{unix.IFLA_BR_MCAST_IGMP_VERSION, o.IGMPVersion}, {unix.IFLA_BR_MCAST_MLD_VERSION, o.MLDVersion}} {
		if v.value != 0 {
			attrs = append(attrs, bridgeAttr{v.kind, nl.Uint8Attr(v.value)})
		}
	}
	for _, v := range []struct {
		kind  int
		value time.Duration
	}{
		{unix.IFLA_BR_MCAST_QUERY_INTVL, o.QueryInterval},
		{unix.IFLA_BR_MCAST_QUERY_RESPONSE_INTVL, o.QueryResponseInterval},
		{unix.IFLA_BR_MCAST_STARTUP_QUERY_INTVL, o.StartupQueryInterval},
		{unix.IFLA_BR_MCAST_LAST_MEMBER_INTVL, o.LastMemberInterval},
		{unix.IFLA_BR_MCAST_MEMBERSHIP_INTVL, o.MembershipInterval},
		{unix.IFLA_BR_MCAST_QUERIER_INTVL, o.QuerierInterval},
	} {
		if v.value != 0 {
			attrs = append(attrs, bridgeAttr{v.kind, nl.Uint64Attr(uint64(v.value / clockTick))})
		}
	}
	for _, v := range []struct {
		kind  int
		value uint32
	}{{unix.IFLA_BR_MCAST_STARTUP_QUERY_CNT, o.StartupQueryCount}, {unix.IFLA_BR_MCAST_LAST_MEMBER_CNT, o.LastMemberCount}} {
		if v.value != 0 {
			attrs = append(attrs, bridgeAttr{v.kind, nl.Uint32Attr(v.value)})
		}
	}
	return attrs
}

func flagAttr(v bool) []byte {
	if v {
		return nl.Uint8Attr(1)
	}
	return nl.Uint8Attr(0)
}

// AddPort makes an interface of the bridge's node a port of the bridge, brings
// it up, and returns when the port forwards.
func (b *Bridge) AddPort(ifname string) error {
	err := b.node.Interface(ifname).with(func(h *netlink.Handle, link netlink.Link) error {
		if err := h.LinkSetMasterByIndex(link, int(b.index)); err != nil {
			return fmt.Errorf("make it a port of %s: %w", b.name, err)
		}
		return h.LinkSetUp(link)
	})
	if err != nil {
		return err
	}
	for _, name := range []string{ifname, b.name} {
		if err := b.node.Interface(name).awaitUp(); err != nil {
			return err
		}
	}
	return nil
}

// RemovePort takes a port out of the bridge; the interface stays.
func (b *Bridge) RemovePort(ifname string) error {
	return b.node.Interface(ifname).with(func(h *netlink.Handle, link netlink.Link) error {
		return h.LinkSetNoMaster(link)
	})
}

// SetFastLeave says whether a port gives up a group at once when somebody
// behind it leaves, without asking whether there are others.
func (b *Bridge) SetFastLeave(ifname string, fast bool) error {
	return b.node.Interface(ifname).with(func(h *netlink.Handle, link netlink.Link) error {
		return h.LinkSetFastLeave(link, fast)
	})
}

// mdbTries is how often the kernel is asked for a database that changes.
const mdbTries = 10

// MDB returns what the bridge knows about multicast.
func (b *Bridge) MDB() (MDB, error) {
	var messages [][]byte
	err := b.node.Do(func() (err error) {
		// The kernel says when interfaces came or went while it told, and has
		// to be asked again.
		for range mdbTries {
			req := nl.NewNetlinkRequest(unix.RTM_GETMDB, unix.NLM_F_DUMP)
			req.AddData(&portMsg{})
			messages, err = req.Execute(unix.NETLINK_ROUTE, 0)
			if !errors.Is(err, nl.ErrDumpInterrupted) {
				break
			}
		}
		return err
	})
	var all, m MDB
	for _, msg := range messages {
		err = errors.Join(err, all.parse(msg))
	}
	if err != nil {
		return m, b.node.wrap("read the multicast database of bridge "+b.name, err)
	}
	// The kernel tells about all bridges.
	for _, e := range all.Entries {
		if e.Bridge == b.index {
			m.Entries = append(m.Entries, e)
		}
	}
	for _, r := range all.Routers {
		if r.Bridge == b.index {
			m.Routers = append(m.Routers, r)
		}
	}
	return m, nil
}

// portMsg is the fixed part of a request for the multicast database, which
// says the family and nothing else.
type portMsg struct{}

// Len returns the length.
func (*portMsg) Len() int { return mdbHeaderSize }

// Serialize returns the bytes.
func (*portMsg) Serialize() []byte {
	b := make([]byte, mdbHeaderSize)
	b[0] = unix.AF_BRIDGE
	return b
}
