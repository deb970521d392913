package simnet

import (
	"testing"

	"campagnol/rdv/wire"
)

func TestKindNames(t *testing.T) {
	for i := range KindSTUN {
		if got, want := i.String(), wire.Type(i).String(); got != want {
			t.Errorf("kind %d is %q, want %q", i, got, want)
		}
	}
	seen := map[string]bool{}
	for _, k := range []Kind{KindSTUN, KindChannel, KindOther, KindGate, KindChangeCipherSpec, KindAlert, KindHandshake, KindData, KindHeartbeat, KindConnectionID} {
		if s := k.String(); s == "" || seen[s] {
			t.Errorf("kind %d has the name %q, which is none of its own", k, s)
		} else {
			seen[s] = true
		}
	}
	if got := Kind(19).String(); got != "kind 19" {
		t.Errorf("undefined kind: %q", got)
	}
	if got := Kind(200).String(); got != "kind 200" {
		t.Errorf("undefined kind: %q", got)
	}
}

func TestKindOf(t *testing.T) {
	stun := append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42}, make([]byte, 12)...)
	for _, c := range []struct {
		name string
		b    []byte
		want Kind
	}{
		{"empty", nil, KindOther},
		{"punch", wire.Message{Type: wire.Punch}.Append(nil), Kind(wire.Punch)},
		{"punch, too long", append(wire.Message{Type: wire.Punch}.Append(nil), 0), KindOther},
		{"stun", stun, KindSTUN},
		{"stun, short", stun[:19], KindOther},
		{"handshake", append([]byte{22}, make([]byte, 60)...), KindHandshake},
		{"data", append([]byte{23}, make([]byte, 12)...), KindData},
		{"data, short", append([]byte{23}, make([]byte, 11)...), KindOther},
		{"channel", []byte{64, 1, 0, 0}, KindChannel},
		{"gate", wire.GateMessage{Type: wire.Closed}.Append(nil), KindGate},
		{"text", []byte("text"), KindOther},
	} {
		if got := KindOf(c.b); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// FuzzKindOf checks that kinds are those of the wire format, and in range.
func FuzzKindOf(f *testing.F) {
	f.Add([]byte{})
	f.Add(wire.Message{Type: wire.Hello}.Append(nil))
	f.Add(append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42}, make([]byte, 12)...))
	f.Add(append([]byte{25}, make([]byte, 30)...))
	f.Add([]byte{64, 0, 0, 4, 1, 2, 3, 4})
	f.Add(wire.GateMessage{Type: wire.Knock}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		k := KindOf(b)
		if k >= KindSTUN && (k >= kinds || kindNames[k] == "") {
			t.Fatalf("KindOf(%x) = %d, which is not a kind", b, k)
		}
		var want wire.Kind
		switch {
		case k < KindSTUN:
			want = wire.KindRendezvous
			if m, err := wire.Parse(b); err != nil || Kind(m.Type) != k {
				t.Fatalf("KindOf(%x) = %v, but Parse says %v, %v", b, k, m, err)
			}
		case k == KindSTUN:
			want = wire.KindSTUN
		case k == KindChannel:
			want = wire.KindChannel
		case k == KindGate:
			want = wire.KindGate
		case k >= KindChangeCipherSpec:
			want = wire.KindDTLS
		}
		if got := wire.KindOf(b); got != want {
			t.Fatalf("KindOf(%x) = %v, but the wire format says %v", b, k, got)
		}
	})
}
