package device

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"sync"
	"syscall"

	"github.com/songgao/water"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"campagnol/tunnel/segment"
)

// Open makes a device in the network namespace of the calling thread, or takes the
// one of that name which an administrator has made for it (`ip tuntap add`) and
// which stays when it is closed.
func Open(cfg Config) (*Kernel, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	kind := kindOf(cfg.Link)
	name, err := interfaceName(cfg.Name, kind.name+"%d")
	if err != nil {
		return nil, err
	}
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("device: talk to the kernel about interfaces (netlink): %w", err)
	}
	p, err := kind.params(nl, name)
	p.MultiQueue = p.MultiQueue || cfg.Queues > 1 && !p.Persist
	var t *tun
	if err == nil {
		t, err = kind.open(p, cfg.Plain)
	}
	if err != nil {
		nl.Close()
		return nil, kind.explain(name, err)
	}
	return start(nl, t, p, cfg)
}

// start makes a Kernel of a device that is open.
func start(nl *netlink.Handle, t *tun, p water.PlatformSpecificParams, cfg Config) (*Kernel, error) {
	k, err := newKernel(nl, t, cfg.Link)
	if err != nil {
		t.file.Close()
	} else {
		k.persist = p.Persist
		if err = k.addQueues(p, cfg.Queues); err == nil {
			err = k.prepare(cfg)
		}
		if err != nil {
			k.closeFiles()
		}
	}
	if err != nil {
		nl.Close()
		return nil, fmt.Errorf("device: open %s: %w", t.name, err)
	}
	return k, nil
}

// addQueues opens the device again until it has n queues, if it can have more
// than one. Which flow comes out of which is up to the kernel: it follows where we
// write the flow's other direction, and else a hash of addresses and ports.
func (k *Kernel) addQueues(p water.PlatformSpecificParams, n int) error {
	if !p.MultiQueue || k.vnet == 0 {
		return nil
	}
	p.Name = k.name
	for 1+len(k.more) < n {
		t, err := kindOf(k.link).openOffloading(p)
		if err != nil {
			return fmt.Errorf("open queue %d: %w", 2+len(k.more), err)
		}
		q, err := newQueue(k, t.file)
		if err != nil {
			t.file.Close()
			return err
		}
		k.more = append(k.more, q)
	}
	return nil
}

// A kind is one of the two kinds of device that the kernel's driver makes.
type kind struct {
	link  segment.Link
	name  string // of devices, without number
	label string // in messages
	flag  uint16
	mode  netlink.TuntapMode
	water water.DeviceType
}

// kindOf returns the kind of device that carries what link says.
func kindOf(link segment.Link) kind {
	if link == segment.Ethernet {
		return kind{link, "tap", "TAP", unix.IFF_TAP, netlink.TUNTAP_MODE_TAP, water.TAP}
	}
	return kind{link, "tun", "TUN", unix.IFF_TUN, netlink.TUNTAP_MODE_TUN, water.TUN}
}

// A tun is an open device.
type tun struct {
	name     string
	file     *os.File
	offloads Offloads
	vnet     int
}

// open opens the device with offloads if the kernel has them, and else, or if
// plain is asked for, by the library.
func (d kind) open(p water.PlatformSpecificParams, plain bool) (*tun, error) {
	if !plain {
		if t, err := d.openOffloading(p); err == nil {
			return t, nil
		}
	}
	ifce, err := d.openWater(p)
	if err != nil {
		return nil, err
	}
	file, ok := ifce.ReadWriteCloser.(*os.File)
	if !ok {
		return nil, fmt.Errorf("the device is a %T, not a file", ifce.ReadWriteCloser)
	}
	return &tun{name: ifce.Name(), file: file}, nil
}

// openOffloading opens the device so that it exchanges large packets.
func (d kind) openOffloading(p water.PlatformSpecificParams) (*tun, error) {
	req, err := unix.NewIfreq(p.Name)
	if err != nil {
		return nil, err
	}
	flags := d.flag | unix.IFF_NO_PI | unix.IFF_VNET_HDR
	if p.MultiQueue {
		flags |= unix.IFF_MULTI_QUEUE
	}
	req.SetUint16(flags)
	openMu.Lock()
	defer openMu.Unlock()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	t := &tun{vnet: vnetLen, offloads: Offloads{Large: true}}
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		unix.Close(fd)
		return nil, err
	}
	const tcp = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN
	const udp = unix.TUN_F_USO4 | unix.TUN_F_USO6 // since Linux 6.2
	// A device that was made before may have been used with another header.
	err = unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, vnetLen)
	if err == nil {
		t.offloads.UDP = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, tcp|udp) == nil
		if !t.offloads.UDP {
			err = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, tcp)
		}
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	t.name = req.Name()
	t.file = os.NewFile(uintptr(fd), "/dev/net/tun")
	return t, nil
}

// params returns what to ask the kernel for. A device that exists keeps its
// properties: without being told, the library would let it vanish at the end. One of
// the other kind is an errOtherKind.
func (d kind) params(nl *netlink.Handle, name string) (water.PlatformSpecificParams, error) {
	p := water.PlatformSpecificParams{Name: name}
	link, err := nl.LinkByName(name)
	if err != nil {
		return p, nil
	}
	if tun, ok := link.(*netlink.Tuntap); ok {
		if tun.Mode != d.mode {
			return p, errOtherKind
		}
		p.Persist = !tun.NonPersist
		p.MultiQueue = tun.Flags&netlink.TUNTAP_MULTI_QUEUE != 0
	}
	return p, nil
}

// errOtherKind is for a TAP device where a TUN device is wanted, and vice versa. It
// is for explain, which says it better.
var errOtherKind = errors.New("a device of the other kind")

// openMu keeps two openings, of which one is by the library, from taking each
// other's descriptors for leaked.
var openMu sync.Mutex

// openWater opens the device by the library. The library forgets two things:
// the descriptor must not be inherited by the programs that we start, or the
// device outlives us in them; and it must be closed if the kernel refuses the
// interface.
func (d kind) openWater(p water.PlatformSpecificParams) (*water.Interface, error) {
	openMu.Lock()
	defer openMu.Unlock()
	before := tunDescriptors()

	syscall.ForkLock.RLock() // no child before it is marked close-on-exec
	ifce, err := water.New(water.Config{DeviceType: d.water, PlatformSpecificParams: p})
	after := tunDescriptors()
	for fd := range after {
		if !before[fd] {
			unix.CloseOnExec(fd)
		}
	}
	syscall.ForkLock.RUnlock()

	if err != nil {
		for fd := range after {
			if !before[fd] {
				unix.Close(fd)
			}
		}
		return nil, err
	}
	return ifce, nil
}

// tunDescriptors returns our open descriptors of /dev/net/tun. It returns none
// where /proc is missing.
func tunDescriptors() map[int]bool {
	const dir = "/proc/self/fd"
	fds := make(map[int]bool)
	entries, _ := os.ReadDir(dir) // those before an error count
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if target, err := os.Readlink(dir + "/" + e.Name()); err == nil && target == "/dev/net/tun" {
			fds[fd] = true
		}
	}
	return fds
}

// explain says what went wrong at opening a device, and what to do about it.
func (d kind) explain(name string, err error) error {
	where := "device: open " + d.label + " device " + strconv.Quote(name)
	switch {
	case err == errOtherKind && d.link == segment.Ethernet:
		return fmt.Errorf("%s: the device of that name is a TUN device, which carries IP packets: use another name, or make it anew (`ip link delete %s`, `ip tuntap add %s mode tap`)", where, name, name)
	case err == errOtherKind:
		return fmt.Errorf("%s: the device of that name is a TAP device, which carries Ethernet frames: use another name, or make it anew (`ip link delete %s`, `ip tuntap add %s mode tun`)", where, name, name)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("%s: the kernel has no /dev/net/tun: load it (`modprobe tun`), or give it to the container (--device /dev/net/tun): %w", where, err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%s: this needs root or CAP_NET_ADMIN, or a device made for this user (`ip tuntap add mode %s user …`): %w", where, d.name, err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%s: another program has it open: stop that, or use another name: %w", where, err)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%s: an interface of that name exists and is not a %s device: use another name: %w", where, d.label, err)
	case errors.Is(err, unix.ENFILE), errors.Is(err, unix.EEXIST):
		return fmt.Errorf("%s: no number is free for it: use another name: %w", where, err)
	}
	return fmt.Errorf("%s: %w", where, err)
}

// newKernel returns the device that was opened as t.
func newKernel(nl *netlink.Handle, t *tun, kind segment.Link) (*Kernel, error) {
	link, err := nl.LinkByName(t.name)
	if err != nil {
		return nil, fmt.Errorf("find the interface: %w", err)
	}
	k := &Kernel{name: t.name, index: link.Attrs().Index, nl: nl, link: kind, offloads: t.offloads, vnet: t.vnet}
	return k, k.queue.init(k, t.file)
}

// newQueue returns a further queue of k.
func newQueue(k *Kernel, file *os.File) (*queue, error) {
	q := new(queue)
	return q, q.init(k, file)
}

// init makes q the queue of k that file is. It must not be copied afterwards.
func (q *queue) init(k *Kernel, file *os.File) (err error) {
	q.dev, q.file = k, file
	if q.raw, err = file.SyscallConn(); err != nil {
		return err
	}
	// Without /proc it was not done yet.
	if err := q.raw.Control(func(fd uintptr) { unix.CloseOnExec(int(fd)) }); err != nil {
		return err
	}
	q.in.arena = make([]byte, arenaSize)
	q.in.packets = make([]Packet, 0, maxPackets)
	q.in.fn, q.out.fn = q.readReady, q.writeReady // method values allocate: once
	return nil
}

// prepare sets what concerns the device and not the VPN.
func (k *Kernel) prepare(cfg Config) error {
	link := k.ref()
	if k.link == segment.IP {
		// An interface that comes up gives itself a link-local address and asks
		// for routers; a VPN of IP has none. Where IPv6 is missing, so is the
		// problem, and whoever may not change it gets packets that are dropped.
		_ = k.nl.LinkSetIP6AddrGenMode(link, addrGenModeNone)
	}
	if cfg.HardwareAddr != nil {
		if err := k.nl.LinkSetHardwareAddr(link, cfg.HardwareAddr); err != nil {
			return fmt.Errorf("set the hardware address to %v: %w%s", cfg.HardwareAddr, err, hint(err))
		}
	}
	if cfg.TxQueue <= 0 {
		return nil
	}
	// The kernel's number has 32 bits.
	if err := k.nl.LinkSetTxQLen(link, min(cfg.TxQueue, math.MaxInt32)); err != nil {
		return fmt.Errorf("set the length of the queue to %d packets: %w", cfg.TxQueue, err)
	}
	return nil
}

// addrGenModeNone is IN6_ADDR_GEN_MODE_NONE of linux/if_link.h.
const addrGenModeNone = 1
