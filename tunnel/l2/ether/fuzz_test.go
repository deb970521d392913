package ether

import (
	"bytes"
	"testing"
)

func seeds(f *testing.F) {
	f.Helper()
	for _, s := range []string{
		arpRequest, arpReply, solicitation, probe, advertisement, igmpReport, mldReport,
		toB + tag10 + "0806" + arpRequest[len("\n\t\tffffffffffff 02000000000a 0806"):],
		toB + "88a8 e064" + tag20 + "0800 45",
		toB + "0026 424203",
	} {
		f.Add(unhex(f, s))
	}
}

// FuzzFrame reads any bytes as a frame and all that may be in it: nothing lies
// outside the frame, and a reply has the same tags.
func FuzzFrame(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		orig := bytes.Clone(b)
		h, err := Parse(b)
		if err != nil {
			if h != (Frame{}) {
				t.Errorf("%+v with %v", h, err)
			}
			return
		}
		if h.Net != HeaderLen+TagLen*int(h.Tags) || h.Net > len(b) || h.Tags > maxTags || h.VID > 4095 || h.Priority > 7 {
			t.Fatalf("%+v of %d bytes", h, len(b))
		}
		if h.Inner != 0 && (h.Tags < 2 || h.VID == 0) {
			t.Errorf("inner VLAN without an outer: %+v", h)
		}
		reply := h.AppendReply(nil, b, h.Src, h.Dst, h.Type)
		r, err := Parse(reply)
		if err != nil || r.Src != h.Dst || r.Dst != h.Src || r.VID != h.VID || r.Inner != h.Inner || r.Type != h.Type || r.Net != len(reply) {
			t.Errorf("reply to %+v: %+v, %v", h, r, err)
		}
		if p, ok := ParseIP(b, &h); ok {
			if p.Body < h.Net+ipv4Len || p.Body > p.End || p.End > len(b) || !p.Src.IsValid() || !p.Dst.IsValid() {
				t.Errorf("%+v in %+v of %d bytes", p, h, len(b))
			}
			MembershipOf(b, &p)
			if _, err := ParseND(b, &p); err == nil && !IsND(b, &p) {
				t.Error("read as neighbour discovery, which it is not")
			}
		}
		if !bytes.Equal(b, orig) {
			t.Error("the frame has changed")
		}
	})
}

// FuzzARP reads any bytes as ARP, and writes what it has read.
func FuzzARP(f *testing.F) {
	for _, s := range []string{arpRequest, arpReply} {
		f.Add(unhex(f, s)[HeaderLen:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseARP(b)
		if err != nil {
			return
		}
		if got := p.Append(nil); !bytes.Equal(got, b[:arpLen]) {
			t.Errorf("%x, want %x", got, b[:arpLen])
		}
	})
}

// FuzzND reads any bytes as an IPv6 packet with neighbour discovery. What is valid
// stays so, and means the same, when it is written again.
func FuzzND(f *testing.F) {
	for _, s := range []string{solicitation, probe, advertisement, mldReport} {
		f.Add(unhex(f, s)[HeaderLen:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h := Frame{Type: IPv6}
		p, ok := ParseIP(b, &h)
		if !ok {
			return
		}
		if len(b)-p.Body >= 4 && p.End == len(b) { // give it a right checksum
			b[p.Body+2], b[p.Body+3] = 0, 0
			c := ChecksumICMPv6(p.Src, p.Dst, b[p.Body:p.End])
			b[p.Body+2], b[p.Body+3] = byte(c>>8), byte(c)
		}
		n, err := ParseND(b, &p)
		if err != nil {
			return
		}
		again := n.Append(nil)
		q, ok := ParseIP(again, &h)
		if !ok {
			t.Fatalf("%x is no packet", again)
		}
		if m, err := ParseND(again, &q); err != nil || m != n {
			t.Errorf("%+v, %v, want %+v", m, err, n)
		}
	})
}

// FuzzMAC reads any text as an address.
func FuzzMAC(f *testing.F) {
	f.Add("02:00:5e:10:00:ff")
	f.Add("02-00-5E-10-00-FF")
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMAC(s)
		if err != nil {
			return
		}
		if again, err := ParseMAC(m.String()); err != nil || again != m || len(s) != 17 {
			t.Errorf("%q: %v, then %v, %v", s, m, again, err)
		}
	})
}
