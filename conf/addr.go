package conf

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
)

// parseAddr is inet_aton: one to four numbers, decimal, octal (0…) or
// hexadecimal (0x…), of which the last fills all the bytes that are left, so
// that 10.9.3 is 10.9.0.3. Any text may follow after white space; it is
// returned as rest.
func parseAddr(s string) (addr netip.Addr, rest string, ok bool) {
	var ip uint32
	i := 0
	for part := 0; ; part++ {
		v, n, ok := addrPart(s[i:])
		if !ok {
			return netip.Addr{}, "", false
		}
		i += n
		if part < 3 && i < len(s) && s[i] == '.' {
			if v > 0xff {
				return netip.Addr{}, "", false
			}
			ip |= v << (24 - 8*part)
			i++
			continue
		}
		if uint64(v) >= 1<<(32-8*part) {
			return netip.Addr{}, "", false
		}
		ip |= v
		break
	}
	if i < len(s) && !isSpace(s[i]) {
		return netip.Addr{}, "", false
	}
	return addrFrom(ip), s[i:], true
}

// addrPart reads a number at the start of s, as strtoul does in base 0, and
// returns its length. It starts with a digit.
func addrPart(s string) (v uint32, n int, ok bool) {
	if s == "" || !isDigit(s[0]) {
		return 0, 0, false
	}
	base, i := 10, 0
	if s[0] == '0' {
		base = 8
		if len(s) > 2 && s[1]|0x20 == 'x' && digit(s[2]) < 16 {
			base, i = 16, 2
		}
	}
	first := i
	for i < len(s) && digit(s[i]) < base {
		i++
	}
	u, err := strconv.ParseUint(s[first:i], base, 32)
	return uint32(u), i, err == nil
}

// addrFrom returns the address with the number ip.
func addrFrom(ip uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], ip)
	return netip.AddrFrom4(b)
}

// A netmaskError says why a network has no usable length.
type netmaskError string

const (
	errNoLength    netmaskError = "has no netmask length"
	errLength      netmaskError = "has a malformed netmask length"
	errLengthRange netmaskError = "has a netmask length out of range"
)

// prefixBits returns the length in a network such as 10.9.0.0/24: one or two
// bytes after the first slash, which strtol must read completely. What stands
// in front of the slash is not looked at.
func prefixBits(network string) (bits int, err netmaskError) {
	_, length, found := strings.Cut(network, "/")
	if !found {
		return 0, errNoLength
	}
	v, rest, ok := parseInt(length)
	switch {
	case len(length) > 2 || !ok || rest != "":
		return 0, errLength
	case v < 0 || v > 32:
		return 0, errLengthRange
	}
	return v, ""
}

// isHostName reports whether s could be a name that a resolver knows. Names do
// not end in a number, so that a mistyped address is not one (RFC 1123 section
// 2.1).
func isHostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	last := strings.TrimSuffix(s, ".")
	last = last[strings.LastIndexByte(last, '.')+1:]
	if strings.Trim(last, "0123456789") == "" {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case isDigit(c), 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case c == '.', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}
