package stun

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	pion "github.com/pion/stun/v4"
)

var id = ID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}

const (
	v4 = "203.0.113.7:40000"
	v6 = "[2001:db8::7]:40000"
)

func at(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// TestRequestsOnTheWire: the bytes of requests, and what is read from them.
func TestRequestsOnTheWire(t *testing.T) {
	const head = "2112a4420102030405060708090a0b0c"
	for _, c := range []struct {
		name     string
		r        Request
		software string
		hex      string
	}{
		{"plain", Request{}, "", "00010000" + head},
		{"elsewhere", Request{Change: true, ChangeAddr: true, ChangePort: true}, "", "00010008" + head + "0003000400000006"},
		{"from the other port", Request{Change: true, ChangePort: true}, "", "00010008" + head + "0003000400000002"},
		{"to another port", Request{ReplyPort: 0x1234}, "", "00010008" + head + "0027000412340000"},
		{"with a name", Request{Software: true}, "abc", "00010008" + head + "8022000361626300"},
		{"with a fingerprint", Request{Fingerprint: true}, "", "00010008" + head + "80280004" + "5b20f9cc"},
	} {
		var codec Codec
		c.r.ID = id
		got := codec.AppendRequest([]byte{0xff}, c.r, c.software)[1:]
		if hex.EncodeToString(got) != c.hex {
			t.Errorf("%s: %x, want %s", c.name, got, c.hex)
		}
		if back, err := codec.ParseRequest(got); err != nil || back != c.r {
			t.Errorf("%s: read as %+v, %v", c.name, back, err)
		}
	}
}

// TestResponses: what is appended is what is read, by us and by others.
func TestResponses(t *testing.T) {
	for _, r := range []Response{
		{Mapped: at(v4)},
		{Mapped: at(v6), Origin: at("[2001:db8::1]:3478"), Other: at("[2001:db8::2]:3479")},
		{Mapped: at(v4), Origin: at("192.0.2.1:3478"), OtherPort: 3479, Software: "somebody 1.0", Fingerprint: true},
		{Code: 420, Unknown: []uint16{3, 0x7fff}},
		{Code: 500, Software: "x"},
	} {
		var codec Codec
		r.ID = id
		b := codec.AppendResponse(nil, &r)
		got, err := codec.ParseResponse(b)
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("read as %+v, %v, want %+v", got, err, r)
		}
		m := &pion.Message{Raw: b}
		if err := m.Decode(); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
		var mapped pion.XORMappedAddress
		if err := mapped.GetFrom(m); (err == nil) != r.Mapped.IsValid() || err == nil && mapped.String() != r.Mapped.String() {
			t.Errorf("others read %v, %v, want %v", mapped, err, r.Mapped)
		}
		if r.Fingerprint && pion.Fingerprint.Check(m) != nil {
			t.Errorf("others find the fingerprint of %+v wrong", r)
		}
		if _, err := codec.ParseRequest(b); !errors.Is(err, ErrNotRequest) {
			t.Errorf("an answer was read as a request: %v", err)
		}
	}
}

// TestVectors are the sample messages of RFC 5769 sections 2.1 to 2.3, which carry
// credentials.
func TestVectors(t *testing.T) {
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var codec Codec
	request := unhex("000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74" +
		"002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf")
	q, err := codec.ParseRequest(request)
	if err != nil || !q.Fingerprint || !q.Software || q.Unknowns != 1 || q.Unknown[0] != 0x24 {
		t.Errorf("request: %+v, %v, want PRIORITY to be unknown and the rest not", q, err)
	}
	for _, c := range []struct{ hex, want string }{
		{"0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643" +
			"000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96", "192.0.2.1:32853"},
		{"010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9" +
			"00080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c", "[2001:db8:1234:5678:11:2233:4455:6677]:32853"},
	} {
		r, err := codec.ParseResponse(unhex(c.hex))
		if err != nil || r.Mapped != at(c.want) || r.Software != "test vector" {
			t.Errorf("answer: %+v, %v, want %s", r, err, c.want)
		}
	}
}

// TestOldServer: one from before RFC 5389 says MAPPED-ADDRESS.
func TestOldServer(t *testing.T) {
	m := pion.MustBuild(pion.BindingSuccess, &pion.MappedAddress{IP: []byte{203, 0, 113, 7}, Port: 40000})
	var codec Codec
	if r, err := codec.ParseResponse(m.Raw); err != nil || r.Mapped != at(v4) {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestMalformed: what is broken is refused.
func TestMalformed(t *testing.T) {
	var codec Codec
	good := codec.AppendRequest(nil, Request{ID: id, ChangePort: true, Fingerprint: true}, "abc")
	edit := func(change func(b []byte) []byte) []byte { return change(bytes.Clone(good)) }
	many := codec.AppendRequest(nil, Request{ID: id}, "")
	for range maxAttrs + 1 {
		many = append(many, 0x80, 0x22, 0, 0)
	}
	many[3] = byte(len(many) - headerSize)
	for name, b := range map[string][]byte{
		"empty":            {},
		"short":            good[:19],
		"cut":              good[:len(good)-4],
		"longer":           append(bytes.Clone(good), 0, 0, 0, 0),
		"cookie":           edit(func(b []byte) []byte { b[4]++; return b }),
		"length":           edit(func(b []byte) []byte { b[3]++; return b }),
		"attribute":        edit(func(b []byte) []byte { b[23] = 0xff; return b }),
		"fingerprint":      edit(func(b []byte) []byte { b[len(b)-1]++; return b }),
		"empty change":     edit(func(b []byte) []byte { b[23] = 0; return b }),
		"many attributes":  many,
		"too long":         append(bytes.Clone(good), make([]byte, maxSize)...),
		"odd size at end":  append(bytes.Clone(good), 0x80),
		"attribute header": append([]byte{0, 1, 0, 2}, append(bytes.Clone(good[4:20]), 0x80, 0x22)...),
	} {
		if r, err := codec.ParseRequest(b); err == nil {
			t.Errorf("%s: read as %+v", name, r)
		}
	}
	if _, err := codec.ParseResponse(good); !errors.Is(err, ErrNotResponse) {
		t.Errorf("a request as an answer: %v", err)
	}
	for name, build := range map[string][]pion.Setter{
		"no address":      {pion.BindingSuccess},
		"port 0":          {pion.BindingSuccess, &pion.XORMappedAddress{IP: []byte{203, 0, 113, 7}}},
		"everybody":       {pion.BindingSuccess, &pion.XORMappedAddress{IP: []byte{224, 0, 0, 1}, Port: 5}},
		"nobody":          {pion.BindingSuccess, &pion.XORMappedAddress{IP: []byte{0, 0, 0, 0}, Port: 5}},
		"error without":   {pion.BindingError},
		"an indication":   {pion.NewType(pion.MethodBinding, pion.ClassIndication)},
		"another purpose": {pion.NewType(pion.MethodAllocate, pion.ClassSuccessResponse)},
	} {
		if r, err := codec.ParseResponse(pion.MustBuild(build...).Raw); err == nil {
			t.Errorf("%s: read as %+v", name, r)
		}
	}
}

// TestSoftwareIsShown: what is printed to a terminal is text.
func TestSoftwareIsShown(t *testing.T) {
	for text, want := range map[string]string{
		"coturn 4.6": "coturn 4.6", "\x1b[31mred": "", "a\nb": "", "\xff": "", strings.Repeat("x", 200): strings.Repeat("x", MaxSoftware),
	} {
		m := pion.MustBuild(pion.BindingSuccess, &pion.XORMappedAddress{IP: []byte{203, 0, 113, 7}, Port: 5}, pion.NewSoftware(text))
		var codec Codec
		if r, err := codec.ParseResponse(m.Raw); err != nil || r.Software != want {
			t.Errorf("%q is shown as %q, %v, want %q", text, r.Software, err, want)
		}
	}
}

// TestUnknown: attributes that have to be understood, and are not, are named; not more
// than fit in a short answer.
func TestUnknown(t *testing.T) {
	m := pion.MustBuild(pion.BindingRequest)
	for i := range 10 {
		m.Add(pion.AttrType(0x7000+i), nil)
		m.Add(pion.AttrType(0xf000+i), nil) // may be skipped
	}
	var codec Codec
	q, err := codec.ParseRequest(m.Raw)
	if want := [maxUnknown]uint16{0x7000, 0x7001, 0x7002, 0x7003}; err != nil || q.Unknown != want || q.Unknowns != 4 {
		t.Errorf("%+v, %v, want %x", q, err, want)
	}
}

// TestNoGarbage: neither reading what strangers send nor answering it takes memory.
func TestNoGarbage(t *testing.T) {
	var codec Codec
	request := codec.AppendRequest(nil, Request{ID: id, ChangePort: true}, "abc")
	broken := append(bytes.Clone(request), 1)
	r := &Response{ID: id, Mapped: at(v4), Origin: at(v4), Other: at(v6), Software: "x"}
	buf := make([]byte, 0, 512)
	if n := testing.AllocsPerRun(100, func() {
		_, err := codec.ParseRequest(request)
		_, bad := codec.ParseRequest(broken)
		if buf = codec.AppendResponse(buf[:0], r); err != nil || bad == nil {
			t.Fatal(err, bad)
		}
	}); n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestIDOf(t *testing.T) {
	var codec Codec
	if got := IDOf(codec.AppendRequest(nil, Request{ID: id}, "")); got != id {
		t.Errorf("got %x, want %x", got, id)
	}
	if got := IDOf([]byte{1, 2}); got != (ID{}) {
		t.Errorf("of garbage: %x", got)
	}
}

func FuzzParseRequest(f *testing.F) {
	var codec Codec
	f.Add(codec.AppendRequest(nil, Request{ID: id, ChangeAddr: true, ReplyPort: 7, Fingerprint: true}, "abc"))
	f.Add([]byte{0, 1, 0, 4, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x70, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		q, err := codec.ParseRequest(b)
		if !bytes.Equal(b, before) {
			t.Fatal("the input was changed")
		}
		if err != nil {
			return
		}
		software := ""
		if q.Software {
			software = "x"
		}
		q.Unknown, q.Unknowns = [maxUnknown]uint16{}, 0
		again, err := codec.ParseRequest(codec.AppendRequest(nil, q, software))
		if err != nil || again != q {
			t.Errorf("%+v, and again %+v, %v", q, again, err)
		}
	})
}

func FuzzParseResponse(f *testing.F) {
	var codec Codec
	f.Add(codec.AppendResponse(nil, &Response{ID: id, Mapped: at(v6), Other: at(v4), OtherPort: 5, Software: "a", Fingerprint: true}))
	f.Add(codec.AppendResponse(nil, &Response{ID: id, Code: 420, Unknown: []uint16{3}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := codec.ParseResponse(b)
		if err != nil {
			return
		}
		if (r.Code == 0) != r.Mapped.IsValid() || len(r.Software) > MaxSoftware || len(r.Unknown) > maxUnknown {
			t.Fatalf("read as %+v", r)
		}
		again, err := codec.ParseResponse(codec.AppendResponse(nil, &r))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%+v, and again %+v, %v", r, again, err)
		}
	})
}
