package scenario

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"campagnol/internal/testenv"
	"campagnol/tunnel/l2/mcast/gmp"
)

// A bridge asks twice whether somebody is left, this often. It is long, so that what
// holds in between is seen on a loaded machine too.
const (
	lastMember = 4 * time.Second
	patience   = 60 * time.Second
)

// A bridge is one of the kernel, with a host at a port.
type bridge struct {
	t      *testing.T
	socket int
	host   int // index of the host's interface
}

// A telling is a story that is being told, about a group of its own.
type telling struct {
	Scenario
	group netip.Addr
	step  int  // the next, or the one that is waited for
	said  bool // its reports
}

// TestBridge tells the stories that do not take minutes to a bridge of this kernel, all
// at the same time: each goes on when the bridge thinks what the step before says.
func TestBridge(t *testing.T) {
	testenv.Root(t)
	testenv.Tool(t, "ip", "iproute2")
	testenv.Tool(t, "bridge", "iproute2")
	var open []*telling
	for i, s := range All() {
		if s.Steps[len(s.Steps)-1].At > 10*time.Second {
			continue
		}
		group := s.Group.AsSlice()
		group[len(group)-1] = byte(i + 1)
		a, _ := netip.AddrFromSlice(group)
		open = append(open, &telling{Scenario: s, group: a})
	}
	if len(open) < 30 {
		t.Errorf("%d stories, want at least 30", len(open))
	}
	b := newBridge(t)
	for end := time.Now().Add(patience); len(open) > 0; time.Sleep(50 * time.Millisecond) {
		database := b.database()
		open = slices.DeleteFunc(open, func(s *telling) bool { return s.tell(b, database) })
		if time.Now().Before(end) {
			continue
		}
		for _, s := range open {
			t.Errorf("%s: step %d: the bridge thinks %v\nwant %v", s.Name, s.step+1, database[s.group], thought(s.Steps[s.step].Want))
		}
		break
	}
}

// tell goes on with the story as far as possible. It reports whether it is over.
func (s *telling) tell(b *bridge, database map[netip.Addr]string) bool {
	for ; s.step < len(s.Steps); s.step++ {
		step := s.Steps[s.step]
		if step.At%time.Second != 0 {
			continue // a moment before something
		}
		if !s.said {
			for _, m := range step.Report {
				b.report(m, s.group)
			}
			s.said = true
			if step.Want != nil {
				return false // the database is of before
			}
		}
		if step.Want != nil && database[s.group] != thought(step.Want) {
			return false
		}
		s.said = false
	}
	return true
}

// thought is what is thought of a group, in words; empty: nothing.
func thought(s *State) string {
	if s.Mode == "" {
		return ""
	}
	return fmt.Sprintf("%s, sources %v, blocked %v", s.Mode, s.Sources, s.Blocked)
}

// newBridge makes a bridge in a network namespace of its own.
func newBridge(t *testing.T) *bridge {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the namespace goes with the thread
	ns, err := netns.New()
	if err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	ns.Close()
	b := &bridge{t: t}
	for _, c := range []string{
		"link add br0 type bridge mcast_snooping 1 mcast_querier 1 mcast_igmp_version 3 mcast_mld_version 2 mcast_last_member_interval " +
			strconv.Itoa(int(lastMember/(10*time.Millisecond))),
		"link add h0 type veth peer name p0", "link set p0 master br0", "link set br0 up", "link set p0 up", "link set h0 up",
	} {
		b.run("ip", strings.Fields(c)...)
	}
	ifi, err := net.InterfaceByName("h0")
	if err != nil {
		t.Fatal(err)
	}
	b.host = ifi.Index
	if b.socket, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		t.Fatalf("open a packet socket: %v", err)
	}
	t.Cleanup(func() { unix.Close(b.socket) })
	for end := time.Now().Add(patience); !strings.Contains(b.run("bridge", "-j", "link", "show", "dev", "p0"), `"forwarding"`); {
		if time.Now().After(end) {
			t.Fatalf("the port does not forward after %v", patience)
		}
		time.Sleep(50 * time.Millisecond)
	}
	return b
}

func (b *bridge) run(program string, args ...string) string {
	b.t.Helper()
	out, err := exec.CommandContext(b.t.Context(), program, args...).CombinedOutput()
	if err != nil {
		b.t.Fatalf("%s %v: %v: %s", program, args, err, out)
	}
	return string(out)
}

// report sends a report from the host, about another group.
func (b *bridge) report(m gmp.Message, group netip.Addr) {
	b.t.Helper()
	m.Records = slices.Clone(m.Records)
	for i := range m.Records {
		m.Records[i].Group = group
	}
	mac := gmp.MAC(m.To())
	frame := append(mac[:], 2, 0, 0, 0, 0, 7, 0x08, 0x00)
	if group.Is6() {
		binary.BigEndian.PutUint16(frame[12:], 0x86dd)
	}
	if err := unix.Sendto(b.socket, m.Append(frame), 0, &unix.SockaddrLinklayer{Ifindex: b.host}); err != nil {
		b.t.Fatalf("send a report: %v", err)
	}
}

// database returns what the bridge thinks of all groups of the host.
func (b *bridge) database() map[netip.Addr]string {
	b.t.Helper()
	var list []struct {
		MDB []struct {
			Port, Grp, Src string
			Mode           string                            `json:"filter_mode"`
			Sources        []struct{ Address, Timer string } `json:"source_list"`
		}
	}
	out := b.run("bridge", "-d", "-s", "-j", "mdb", "show", "dev", "br0")
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) == 0 {
		b.t.Fatalf("bridge mdb says %s: %v", out, err)
	}
	all := map[netip.Addr]string{}
	for _, e := range list[0].MDB {
		group, err := netip.ParseAddr(e.Grp)
		if err != nil || e.Port != "p0" || e.Src != "" {
			continue
		}
		s := &State{Mode: e.Mode}
		for _, x := range e.Sources {
			a, err := netip.ParseAddr(x.Address)
			if err != nil {
				b.t.Fatalf("source %q: %v", x.Address, err)
			}
			if strings.TrimSpace(x.Timer) == "0.00" {
				s.Blocked = append(s.Blocked, a)
			} else {
				s.Sources = append(s.Sources, a)
			}
		}
		slices.SortFunc(s.Sources, netip.Addr.Compare)
		slices.SortFunc(s.Blocked, netip.Addr.Compare)
		all[group] = thought(s)
	}
	return all
}
