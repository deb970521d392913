package ether

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// unhex returns bytes in hexadecimal digits; blanks and what follows a # do not count.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	var digits strings.Builder
	for line := range strings.Lines(s) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// edited returns a copy of b with the byte at i, counted from the end if negative,
// set to v.
func edited(b []byte, i int, v byte) []byte {
	b = bytes.Clone(b)
	if i < 0 {
		i += len(b)
	}
	b[i] = v
	return b
}

var (
	macA = MACFrom([6]byte{2, 0, 0, 0, 0, 0xa})
	macB = MACFrom([6]byte{2, 0, 0, 0, 0, 0xb})
)

func TestMAC(t *testing.T) {
	for _, c := range []struct {
		text            string
		want            MAC
		group, reserved bool
		sends           bool
	}{
		{"02:00:5e:10:00:ff", 0x02005e1000ff, false, false, true},
		{"ff:ff:ff:ff:ff:ff", Broadcast, true, false, false},
		{"01:00:5e:00:00:fb", 0x01005e0000fb, true, false, false},
		{"01:80:c2:00:00:00", BridgeGroup, true, true, false},
		{"01:80:c2:00:00:01", Pause, true, true, false},
		{"01:80:c2:00:00:0f", BridgeGroup + 15, true, true, false},
		{"01:80:c2:00:00:10", BridgeGroup + 16, true, false, false},
		{"00:00:00:00:00:00", 0, false, false, false},
		{"00:00:00:00:00:01", 1, false, false, true},
	} {
		m, err := ParseMAC(c.text)
		if err != nil || m != c.want || m.String() != c.text {
			t.Errorf("ParseMAC(%s) = %v, %v, want %v", c.text, m, err, c.want)
		}
		if MACFrom(m.Bytes()) != m || !bytes.Equal(m.Append(nil), unhex(t, strings.ReplaceAll(c.text, ":", ""))) {
			t.Errorf("%s: bytes %x", c.text, m.Bytes())
		}
		if m.IsGroup() != c.group || m.IsReserved() != c.reserved || m.CanSend() != c.sends {
			t.Errorf("%s: group %v, reserved %v, sends %v", c.text, m.IsGroup(), m.IsReserved(), m.CanSend())
		}
	}
	if MAC(1 << 48).CanSend() {
		t.Error("an address of 49 bits can send")
	}
}

func TestParseMACRefuses(t *testing.T) {
	for _, s := range []string{
		"", "02:00:5e:10:00", "02:00:5e:10:00:f", "02:00:5e:10:00:fg", "02:00:5e:10:00:ff:00", "02:00-5e:10:00:ff",
		"02005e1000ff", "02.00.5e.10.00.ff", "0:200:5e:10:00:ff", "02:00:5e:10:00:+f", "02:00:5e:10:00 ff",
	} {
		if m, err := ParseMAC(s); !errors.Is(err, ErrMAC) {
			t.Errorf("ParseMAC(%q) = %v, %v, want an error", s, m, err)
		}
	}
	if m, err := ParseMAC("02-00-5E-10-00-FF"); err != nil || m != 0x02005e1000ff {
		t.Errorf("with hyphens: %v, %v", m, err)
	}
}

func TestMACText(t *testing.T) {
	b, err := json.Marshal(macA)
	if err != nil || string(b) != `"02:00:00:00:00:0a"` {
		t.Fatalf("%s, %v", b, err)
	}
	var m MAC
	if err := json.Unmarshal(b, &m); err != nil || m != macA {
		t.Errorf("%v, %v, want %v", m, err, macA)
	}
	if err := json.Unmarshal([]byte(`"zz"`), &m); err == nil || m != macA {
		t.Errorf("nonsense: %v, %v", m, err)
	}
}

func TestGroupMAC(t *testing.T) {
	for _, c := range []struct{ group, want string }{
		{"224.0.0.251", "01:00:5e:00:00:fb"},
		{"239.129.2.3", "01:00:5e:01:02:03"}, // 23 bits of the group
		{"239.1.2.3", "01:00:5e:01:02:03"},
		{"ff02::1:ff12:3456", "33:33:ff:12:34:56"},
		{"ff15::1234", "33:33:00:00:12:34"},
		{"10.0.0.1", "00:00:00:00:00:00"},
		{"fe80::1", "00:00:00:00:00:00"},
	} {
		if got := GroupMAC(netip.MustParseAddr(c.group)); got.String() != c.want {
			t.Errorf("GroupMAC(%s) = %v, want %s", c.group, got, c.want)
		}
	}
}

func TestVIDSet(t *testing.T) {
	s := NewVIDSet(0, 63, 64, 4094, 4095)
	s.Add(100, 102)
	want := map[VID]bool{0: true, 63: true, 64: true, 100: true, 101: true, 102: true, 4094: true}
	for v := VID(0); v < 5000; v++ {
		if s.Has(v) != want[v] {
			t.Errorf("Has(%d) = %v", v, s.Has(v))
		}
		if got := (*VIDSet)(nil).Has(v); got != (v <= MaxVID) {
			t.Errorf("the set of all: Has(%d) = %v", v, got)
		}
	}
	s.Add(4000, 65535)
	if !s.Has(4094) || s.Has(4095) {
		t.Error("a range beyond the last VLAN")
	}
}

const (
	toB   = "02000000000b 02000000000a "
	tag10 = "8100 600a " // priority 3
	tag20 = "8100 0014 "
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, frame string
		want        Frame
	}{
		{"untagged", toB + "0800 45", Frame{Dst: macB, Src: macA, Type: IPv4, Net: 14}},
		{"nothing behind the header", toB + "0806", Frame{Dst: macB, Src: macA, Type: ARP, Net: 14}},
		{"802.3", toB + "0026 4242 03", Frame{Dst: macB, Src: macA, Type: 0x26, Net: 14}},
		{"tagged", toB + tag10 + "0800", Frame{Dst: macB, Src: macA, Type: IPv4, Tags: 1, Priority: 3, VID: 10, Net: 18}},
		{"service tag", toB + "88a8 e064 " + tag20 + "86dd", Frame{Dst: macB, Src: macA, Type: IPv6, Tags: 2, Priority: 7, VID: 100, Inner: 20, Net: 22}},
		{"two of customers", toB + tag10 + tag20 + "0800", Frame{Dst: macB, Src: macA, Type: IPv4, Tags: 2, Priority: 3, VID: 10, Inner: 20, Net: 22}},
		{"priority only", toB + "8100 a000 0800", Frame{Dst: macB, Src: macA, Type: IPv4, Tags: 1, Priority: 5, Net: 18}},
		{"drop eligible bit", toB + "8100 100a 0800", Frame{Dst: macB, Src: macA, Type: IPv4, Tags: 1, VID: 10, Net: 18}},
		// Linux takes off a tag with the number 0 and looks at the next.
		{"0 before another", toB + "8100 0000 " + tag20 + "0800", Frame{Dst: macB, Src: macA, Type: IPv4, Tags: 2, VID: 20, Net: 22}},
		{"0, 10, 20", toB + "8100 0000 " + tag10 + tag20 + "0800", Frame{Dst: macB, Src: macA, Type: IPv4, Tags: 3, VID: 10, Inner: 20, Net: 26}},
		{"four", toB + tag10 + tag20 + tag10 + tag20 + "0800", Frame{Dst: macB, Src: macA, Type: IPv4, Tags: 4, Priority: 3, VID: 10, Inner: 20, Net: 30}},
		{"the reserved number", toB + "8100 0fff 0800", Frame{Dst: macB, Src: macA, Type: IPv4, Tags: 1, VID: 4095, Net: 18}},
	} {
		got, err := Parse(unhex(t, c.frame))
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		name, frame string
		want        error
	}{
		{"nothing", "", ErrShort},
		{"13 bytes", toB + "08", ErrShort},
		{"tag cut off", toB + "8100", ErrShort},
		{"type behind the tag cut", toB + "8100 000a 08", ErrShort},
		{"second tag cut", toB + tag10 + "8100 0014", ErrShort},
		{"nine tags", toB + strings.Repeat(tag10, 9) + "0800", ErrTags},
		{"nine tags with 0", toB + strings.Repeat("8100 0000", 9) + "0800", ErrTags},
	} {
		if f, err := Parse(unhex(t, c.frame)); !errors.Is(err, c.want) || f != (Frame{}) {
			t.Errorf("%s: %+v, %v, want %v", c.name, f, err, c.want)
		}
	}
	if f, err := Parse(unhex(t, toB+strings.Repeat(tag10, 8)+"0800")); err != nil || f.Net != 46 {
		t.Errorf("eight tags: %+v, %v", f, err)
	}
}

func TestAppendReply(t *testing.T) {
	for _, c := range []struct{ name, frame, want string }{
		{"untagged", toB + "0806 00", "02000000000a 02000000000b 0806"},
		{"tagged", toB + tag10 + "0806", "02000000000a 02000000000b" + tag10 + "0806"},
		{"two tags", toB + "88a8 e064" + tag20 + "0806", "02000000000a 02000000000b 88a8 e064" + tag20 + "0806"},
	} {
		b := unhex(t, c.frame)
		f, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		got := f.AppendReply([]byte{1}, b, f.Src, f.Dst, f.Type)
		if want := append([]byte{1}, unhex(t, c.want)...); !bytes.Equal(got, want) {
			t.Errorf("%s: %x, want %x", c.name, got, want)
		}
	}
}

func TestNoAllocs(t *testing.T) {
	frames := [][]byte{unhex(t, arpRequest), unhex(t, solicitation), unhex(t, mldReport), unhex(t, toB+tag10+tag20+"0800")}
	buf := make([]byte, 0, 200)
	for _, b := range frames {
		if n := testing.AllocsPerRun(100, func() {
			f, _ := Parse(b)
			a, _ := ParseARP(b[f.Net:])
			buf = a.Append(buf[:0])
			ip, _ := ParseIP(b, &f)
			MembershipOf(b, &ip)
			nd, err := ParseND(b, &ip)
			if err == nil {
				buf = nd.Append(buf[:0])
			}
		}); n != 0 {
			t.Errorf("%x: %.0f allocations, want 0", b, n)
		}
	}
}
