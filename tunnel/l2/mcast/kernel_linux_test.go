package mcast

import (
	"encoding/binary"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"campagnol/internal/testenv"
	"campagnol/tunnel/device"
	"campagnol/tunnel/l2/mcast/gmp"
	"campagnol/tunnel/segment"
)

// patience is how long the kernel may take on a loaded machine.
const patience = 30 * time.Second

// A kernelTap is a snooper behind whose TAP is the kernel of this machine.
type kernelTap struct {
	t   *testing.T
	dev *device.Kernel
	mac MAC

	mu sync.Mutex
	s  *Snooper
}

// openTap opens a TAP in a network namespace of its own, and a snooper for it.
func openTap(t *testing.T) *kernelTap {
	t.Helper()
	testenv.Root(t)
	runtime.LockOSThread() // never unlocked: the namespace goes with the thread
	ns, err := netns.New()
	if err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	ns.Close()
	dev, err := device.Open(device.Config{Link: segment.Ethernet, Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	guard := time.AfterFunc(2*patience, func() { dev.Close() })
	k := &kernelTap{t: t, dev: dev, mac: MAC{2, 0xff, 0, 0, 0, 1}}
	done := make(chan struct{})
	if err := dev.Configure(device.Settings{Addr: netip.MustParseAddr("10.9.0.1"), Network: netip.MustParsePrefix("10.9.0.0/24"), MTU: 1400}); err != nil {
		t.Fatal(err)
	}
	k.restart()
	go func() {
		defer close(done)
		k.read()
	}()
	t.Cleanup(func() {
		guard.Stop()
		dev.Close()
		<-done
	})
	return k
}

// restart makes the snooper forget everything.
func (k *kernelTap) restart() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.s = New(Config{MAC: k.mac})
	k.write(k.s.Up(time.Now(), nil))
}

// write sends frames to the kernel.
func (k *kernelTap) write(out []Out) {
	for _, x := range out {
		if x.Kind != ToTAP {
			continue
		}
		frame := append(append(x.Dst[:], k.mac[:]...), 0x08, 0x00)
		if x.Packet[0]>>4 == 6 {
			binary.BigEndian.PutUint16(frame[12:], 0x86dd)
		}
		if err := k.dev.Write([]device.Packet{{Data: append(frame, x.Packet...)}}); err != nil {
			k.t.Errorf("write to the TAP: %v", err)
		}
	}
}

// read gives frames of the kernel to the snooper until the device is closed.
func (k *kernelTap) read() {
	for {
		ps, err := k.dev.Read()
		if err != nil {
			return
		}
		k.mu.Lock()
		for _, p := range ps {
			if len(p.Data) > 14 && gmp.Classify(p.Data[14:]) != gmp.Data {
				k.write(k.s.Local(time.Now(), 0, MAC(p.Data[6:12]), p.Data[14:], nil))
			}
		}
		k.mu.Unlock()
	}
}

// until waits for a state of a group, and lets time pass for the snooper meanwhile.
func (k *kernelTap) until(what, group string, ok func(want) bool) {
	k.t.Helper()
	var w want
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		k.mu.Lock()
		k.write(k.s.Advance(time.Now(), nil))
		w = want{}
		if g := k.s.groups[key{0, ip(group)}]; g != nil {
			w = g.want()
		}
		k.mu.Unlock()
		if ok(w) {
			return
		}
	}
	k.t.Errorf("%s: %s is %v %v after %v", what, group, w.mode, w.sources, patience)
}

// TestKernel: a host with Linux is understood, and understands our queries.
func TestKernel(t *testing.T) {
	k := openTap(t)
	ifi, err := net.InterfaceByName(k.dev.Name())
	if err != nil {
		t.Fatal(err)
	}
	four, err := net.ListenPacket("udp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer four.Close()
	six, err := net.ListenPacket("udp6", "[::]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer six.Close()
	p4, p6 := ipv4.NewPacketConn(four), ipv6.NewPacketConn(six)
	udp := func(a string) *net.UDPAddr { return &net.UDPAddr{IP: net.ParseIP(a)} }
	const ssm, ssm6 = "232.1.2.3", "ff3e::8000:1"
	for _, err := range []error{
		p4.JoinGroup(ifi, udp(wide)), p4.JoinSourceSpecificGroup(ifi, udp(ssm), udp(sender)),
		p6.JoinGroup(ifi, udp(wide6)), p6.JoinSourceSpecificGroup(ifi, udp(ssm6), udp(sender6)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	anySource := func(w want) bool { return w.mode == exclude && len(w.sources) == 0 }
	only := func(source string) func(want) bool {
		return func(w want) bool {
			return w.mode == include && len(w.sources) == 1 && w.sources[0] == ip(source)
		}
	}
	nothing := func(w want) bool { return w.mode == gone }
	joined := func(when string) {
		t.Helper()
		k.until(when, wide, anySource)
		k.until(when, ssm, only(sender))
		k.until(when, wide6, anySource)
		k.until(when, ssm6, only(sender6))
	}
	joined("join")
	// A new process knows nothing but what the kernel answers to its first queries.
	k.restart()
	joined("restart")
	for _, err := range []error{
		p4.LeaveGroup(ifi, udp(wide)), p4.LeaveSourceSpecificGroup(ifi, udp(ssm), udp(sender)),
		p6.LeaveGroup(ifi, udp(wide6)), p6.LeaveSourceSpecificGroup(ifi, udp(ssm6), udp(sender6)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, group := range []string{wide, ssm, wide6, ssm6} {
		k.until("leave", group, nothing)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if st := k.s.Stats(); st.Checksum+st.Malformed != 0 {
		t.Errorf("%+v: what the kernel says is not understood", st)
	}
}
