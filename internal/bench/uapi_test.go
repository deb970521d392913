package main

import (
	"bytes"
	"crypto/ecdh"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
)

func TestWireGuardConfig(t *testing.T) {
	t.Parallel()
	key, err := ecdh.X25519().NewPrivateKey(bytes.Repeat([]byte{0xa7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdh.X25519().NewPublicKey(bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	got := wireGuardConfig(key, 51820, wireGuardPeer{
		key: other, endpoint: netip.MustParseAddrPort("198.51.100.2:51821"), inside: netip.MustParseAddr("10.9.0.2"),
	})
	want := "set=1\n" +
		"private_key=" + strings.Repeat("a7", 32) + "\n" +
		"listen_port=51820\n" +
		"replace_peers=true\n" +
		"public_key=" + strings.Repeat("09", 32) + "\n" +
		"endpoint=198.51.100.2:51821\n" +
		"allowed_ip=10.9.0.2/32\n\n"
	if got != want {
		t.Errorf("the configuration is\n%s, want\n%s", got, want)
	}
}

func TestReadUAPIAnswer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ answer, want string }{
		{"errno=0\n\n", ""},
		{"protocol_version=1\nerrno=0\n\n", ""},
		{"errno=0\n\nerrno=5\n", ""}, // the answer ends with the empty line
		{"errno=-22\n\n", "refuses its configuration: errno -22"},
		{"errno=0\nerrno=1\n\n", "errno 1"},
		{"", "did not answer"},
		{"\n", "did not answer"},
		{"protocol_version=1\n\n", "did not answer"},
		{strings.Repeat("x", 1<<20), "did not answer"},
	} {
		err := readUAPIAnswer(strings.NewReader(c.answer))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("the answer %.40q: error %v, want %q", c.answer, err, c.want)
		}
	}
	if err := readUAPIAnswer(strings.NewReader("")); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("no answer: error %v, want %v", err, io.ErrUnexpectedEOF)
	}
}

func FuzzReadUAPIAnswer(f *testing.F) {
	for _, s := range []string{"errno=0\n\n", "errno=1\n\n", "", "a=b\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := readUAPIAnswer(bytes.NewReader(b)); err == nil && !bytes.Contains(b, []byte("errno=0")) {
			t.Errorf("%q is taken for success", b)
		}
	})
}
