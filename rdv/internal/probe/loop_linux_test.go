package probe

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"campagnol/internal/testenv"
	"campagnol/punch"
)

// TestD_R2_Loop forges one datagram from one server to another. Of the original, two
// then answer each other without end.
func TestD_R2_Loop(t *testing.T) {
	testenv.Root(t) // for a raw socket
	for _, m := range append(notForServers, struct{ name, data string }{"PING", ping}) {
		t.Run(m.name, func(t *testing.T) {
			one, other := start(t, "-d"), start(t, "-d")
			forge(t, other.addr, one.addr, payloadOf(t, m.data))
			// What they have said to each other until third ones are answered
			// by both, twice, is all.
			var logs [2][]string
			for range 2 {
				third, err := listen(netip.MustParseAddrPort("127.0.0.2:0"))
				if err != nil {
					t.Fatal(err)
				}
				defer third.Close()
				for i, p := range []*process{one, other} {
					if err := third.Send([]punch.Datagram{{Addr: p.addr, Data: payloadOf(t, ping)}}); err != nil {
						t.Fatal(err)
					}
					logs[i] = p.await(t, ">> RECONNECT sent to client "+third.LocalAddr().String())
				}
			}
			// A message that is not answered leaves one line, PING three: its
			// own, RECONNECT sent, RECONNECT received.
			got := lines(logs[0], other.addr) + lines(logs[1], one.addr)
			want := 1
			if m.name == "PING" {
				want = 3
			}
			if got != want {
				t.Errorf("%d messages between two servers, want %d:\n%s", got, want,
					strings.Join(append(logs[0], logs[1]...), "\n"))
			}
		})
	}
}

func payloadOf(t *testing.T, text string) []byte {
	t.Helper()
	b, err := scene{vpn: [4]byte{10, 9, 0, 0}}.compile(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// lines counts those that name an address.
func lines(log []string, a netip.AddrPort) (n int) {
	for _, l := range log {
		if strings.Contains(l, a.String()) {
			n++
		}
	}
	return n
}

// forge sends a datagram from an address that is not ours.
func forge(t *testing.T, from, to netip.AddrPort, payload []byte) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	src, dst := from.Addr().As4(), to.Addr().As4()
	p := make([]byte, 28, 28+len(payload)) // IP (RFC 791) and UDP (RFC 768)
	p[0] = 0x45
	p[8] = 64
	p[9] = unix.IPPROTO_UDP
	copy(p[12:], src[:])
	copy(p[16:], dst[:])
	binary.BigEndian.PutUint16(p[20:], from.Port())
	binary.BigEndian.PutUint16(p[22:], to.Port())
	binary.BigEndian.PutUint16(p[24:], uint16(8+len(payload)))
	// The kernel fills in the length and the checksum of IP; that of UDP may
	// be left out.
	if err := unix.Sendto(fd, append(p, payload...), 0, &unix.SockaddrInet4{Addr: dst}); err != nil {
		t.Fatal(err)
	}
}
