package channel

import (
	"bytes"
	"slices"
	"testing"
)

func TestAddrs(t *testing.T) {
	list := addrs("10.9.0.1", "fd00::1", "255.255.255.255")
	b := AppendAddrs(nil, list...)
	want := unhex(t, "00000000000000000000ffff0a090001 fd000000000000000000000000000001 00000000000000000000ffffffffffff")
	if !bytes.Equal(b, want) {
		t.Errorf("%x, want %x", b, want)
	}
	if got, ok := ParseAddrs(b); !ok || !slices.Equal(got, list) {
		t.Errorf("%v, %v, want %v", got, ok, list)
	}
	if got, ok := ParseAddrs(nil); !ok || len(got) != 0 {
		t.Errorf("an empty list: %v, %v", got, ok)
	}
	for _, n := range []int{1, 15, 17, MaxData + addrLen} {
		if got, ok := ParseAddrs(make([]byte, n)); ok {
			t.Errorf("%d bytes: %v", n, got)
		}
	}
	if MaxListed != 64 {
		t.Errorf("a message lists %d", MaxListed)
	}
}
