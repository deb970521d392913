package program

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"campagnol/internal/lab/clock"
	"campagnol/internal/lab/frame"

	"golang.org/x/sys/unix"
)

func TestParseMroute(t *testing.T) {
	t.Parallel()
	upcall := make([]byte, 20)
	upcall[8], upcall[10] = 1, 3
	copy(upcall[12:], []byte{10, 0, 0, 1, 239, 1, 1, 1})
	report := frame.Membership(frame.Header{SrcIP: source1}, record(frame.Allow, source2))[14:]
	query := frame.Membership(frame.Header{SrcIP: source1}, frame.Message{Kind: frame.Query, Version: 2, Group: groupA})[14:]
	wrongVIF := append([]byte(nil), upcall...)
	wrongVIF[8] = 2
	for _, c := range []struct {
		name string
		in   []byte
		ok   bool
		want func(mrouteEvent) bool
	}{
		{"no route", upcall, true, func(e mrouteEvent) bool {
			return e.unknown && e.vif == 3 && e.source == source1 && e.group == groupA
		}},
		{"report", report, true, func(e mrouteEvent) bool {
			return !e.unknown && e.index == 7 && e.source == source1 && e.message.Records[0].Type == frame.Allow
		}},
		{"query", query, false, nil},
		{"wrong interface", wrongVIF, false, nil},
		{"nothing", nil, false, nil},
		{"short", upcall[:19], false, nil},
	} {
		e, ok := parseMroute(c.in, 7)
		if ok != c.ok || ok && !c.want(e) {
			t.Errorf("%s: read as %+v, %v, want %v", c.name, e, ok, c.ok)
		}
	}
}

func FuzzParseMroute(f *testing.F) {
	f.Add(make([]byte, 20))
	f.Add(frame.Membership(frame.Header{SrcIP: source1}, record(frame.Allow, source2))[14:])
	f.Fuzz(func(t *testing.T, b []byte) {
		e, ok := parseMroute(b, 1)
		if !ok {
			return
		}
		q := newQuerier(1, QuerierOptions{})
		q.handle(1, e.message)
		if q.advance(1, nil); q.timeout() <= 1 {
			t.Errorf("after %+v the timeout is past", e)
		}
	})
}

func TestParseInfo(t *testing.T) {
	t.Parallel()
	message := func(level, kind int, data []byte) []byte {
		b := make([]byte, unix.CmsgSpace(len(data)))
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		h.Level, h.Type = int32(level), int32(kind)
		h.SetLen(unix.CmsgLen(len(data)))
		copy(b[unix.CmsgLen(0):], data)
		return b
	}
	now := unix.NsecToTimespec(time.Now().UnixNano())
	stamp := unsafe.Slice((*byte)(unsafe.Pointer(&now)), unsafe.Sizeof(now))
	v4 := append(binary.NativeEndian.AppendUint32(nil, 5), 10, 0, 0, 9, 239, 1, 1, 1)
	v6 := binary.NativeEndian.AppendUint32(netip.MustParseAddr("ff15::1").AsSlice(), 6)
	before := clock.Now()
	got := parseInfo(append(message(unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, stamp), message(unix.IPPROTO_IP, unix.IP_PKTINFO, v4)...))
	if got.dst != groupA || got.index != 5 || got.at > clock.Now() || got.at < before.Add(-time.Second) {
		t.Errorf("IPv4: got %+v", got)
	}
	if got := parseInfo(message(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, v6)); got.dst.String() != "ff15::1" || got.index != 6 || got.at < before {
		t.Errorf("IPv6: got %+v", got)
	}
	for _, bad := range [][]byte{{1, 2, 3}, message(unix.IPPROTO_IP, unix.IP_PKTINFO, v4[:5])} {
		if got := parseInfo(bad); got.dst.IsValid() || got.at < before {
			t.Errorf("%x is read as %+v", bad, got)
		}
	}
}

// TestControl talks to a handler over its socket: answers, errors, nonsense and
// the end.
func TestControl(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sock")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var served error
	var group sync.WaitGroup
	group.Go(func() {
		served = serve(ctx, path, func(q request) response {
			if q.Do == "fail" {
				return failed(1, errors.New("as told"))
			}
			return response{At: 2, Got: []Reception{{Source: q.Source, Group: q.Group}}}
		})
	})
	c, err := newControl(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.do(ctx, request{Do: "echo", Membership: Membership{Group: groupA, Source: source1}})
	if err != nil || r.At != 2 || len(r.Got) != 1 || r.Got[0].Group != groupA || r.Got[0].Source != source1 {
		t.Errorf("got %+v (%v)", r, err)
	}
	if _, err := c.do(ctx, request{Do: "fail"}); !errors.Is(err, errPeer) || !strings.Contains(err.Error(), "fail: as told") {
		t.Errorf("error %v, want one that says fail: as told", err)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	conn.Write([]byte("nonsense\n"))
	b := make([]byte, 1000)
	if n, err := conn.Read(b); err != nil || !strings.Contains(string(b[:n]), "invalid character") {
		t.Errorf("nonsense is answered with %q (%v)", b[:n], err)
	}
	conn.Close()
	cancel()
	group.Wait()
	if served != nil {
		t.Errorf("it ended with %v, want nil", served)
	}
	gone, cancelGone := context.WithTimeout(t.Context(), 20*ms)
	defer cancelGone()
	if _, err := newControl(gone, path); err == nil || !strings.Contains(err.Error(), "no answer at") {
		t.Errorf("without a program: error %v, want no answer", err)
	}
}

func TestPlay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, options string }{{"unknown", "{}"}, {"send", "nonsense"}, {"send", "{}"}, {"receive", `{"Control":"/nowhere/at/all"}`}} {
		if got := play(c.name, []byte(c.options)); got == 0 {
			t.Errorf("program %q with options %s ends with status 0", c.name, c.options)
		}
	}
	got, err := ReceiverOptions{Port: 7, Control: "/x"}.Args()
	if err != nil || strings.Join(got, " ") != `play-lab-program receive {"Port":7,"Control":"/x"}` {
		t.Errorf("the arguments are %q (%v)", got, err)
	}
}

func TestGroupRequest(t *testing.T) {
	t.Parallel()
	b := groupRequest(3, groupA, netip.MustParseAddr("ff15::1"))
	head := int(unsafe.Sizeof(uintptr(0)))
	if len(b) != head+2*128 {
		t.Fatalf("it has %d bytes, want those of a number and two addresses", len(b))
	}
	if got := netip.AddrFrom4([4]byte([]byte(b[head+4 : head+8]))); got != groupA || b[head] != unix.AF_INET {
		t.Errorf("the first address is %v of family %d", got, b[head])
	}
	if got := netip.AddrFrom16([16]byte([]byte(b[head+128+8 : head+128+24]))); got.String() != "ff15::1" || b[head+128] != unix.AF_INET6 {
		t.Errorf("the second address is %v of family %d", got, b[head+128])
	}
}
