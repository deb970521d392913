package main

import (
	"bufio"
	"crypto/ecdh"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"strings"
)

// WireGuard's programs are configured through a socket, with lines of
// key=value and an empty line at the end (the "cross-platform userspace
// configuration protocol" of wireguard.com).

// A wireGuardPeer is the other end of a WireGuard tunnel.
type wireGuardPeer struct {
	key      *ecdh.PublicKey
	endpoint netip.AddrPort
	inside   netip.Addr
}

// wireGuardConfig returns what configures an interface with one peer.
func wireGuardConfig(key *ecdh.PrivateKey, port uint16, peer wireGuardPeer) string {
	var b strings.Builder
	b.WriteString("set=1\n")
	fmt.Fprintf(&b, "private_key=%s\n", hex.EncodeToString(key.Bytes()))
	fmt.Fprintf(&b, "listen_port=%d\n", port)
	b.WriteString("replace_peers=true\n")
	fmt.Fprintf(&b, "public_key=%s\n", hex.EncodeToString(peer.key.Bytes()))
	fmt.Fprintf(&b, "endpoint=%v\n", peer.endpoint)
	fmt.Fprintf(&b, "allowed_ip=%v\n\n", netip.PrefixFrom(peer.inside, peer.inside.BitLen()))
	return b.String()
}

// readUAPIAnswer reads the answer to a change, and returns an error if it was
// not made.
func readUAPIAnswer(r io.Reader) error {
	errno := ""
	for lines := bufio.NewScanner(r); lines.Scan() && lines.Text() != ""; {
		if value, found := strings.CutPrefix(lines.Text(), "errno="); found {
			errno = value
		}
	}
	switch errno {
	case "0":
		return nil
	case "":
		return fmt.Errorf("bench: wireguard-go did not answer: %w", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("bench: wireguard-go refuses its configuration: errno %s", errno)
}
