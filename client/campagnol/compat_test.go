package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/pki"
	"campagnol/pki/pkitest"
)

// TestD_C6_NoWeakCiphers: lists with which the original opens tunnels without
// forward secrecy, or without any encryption, are errors at the start, which say
// what would work.
func TestD_C6_NoWeakCiphers(t *testing.T) {
	t.Parallel()
	for _, list := range []string{"NULL", "AES256-SHA", "RSA+HIGH:@STRENGTH", "3DES", "RC4-SHA:AES128-SHA", "AES256-GCM-SHA384", "ECDHE-RSA-AES256-SHA"} {
		code, _, stderr := campagnol(t, writeConf(t, "[SECURITY]\ncipher_list = "+list))
		if code != 1 || !strings.Contains(stderr, "cipher_list") || !strings.Contains(stderr, "ECDHE+AESGCM") || !strings.Contains(stderr, "hint: ") {
			t.Errorf("%s: exit status %d, %q", list, code, stderr)
		}
	}
}

// TestD_C6_WeakCertificate: a certificate that the original's script has made is
// signed with SHA-1. Nobody of ours believes it, and its owner is told so at the
// start.
func TestD_C6_WeakCertificate(t *testing.T) {
	t.Parallel()
	file := writeConf(t, "")
	ca := pkitest.NewCAWithKey(t, "old CA", time.Now(), pkitest.RSAKey(t))
	cert, key := ca.Issue(t, "alice", func(c *x509.Certificate) { c.SignatureAlgorithm = x509.SHA1WithRSA }).WriteFiles(t, t.TempDir())
	setConf(t, file, "certificate", cert)
	setConf(t, file, "key", key)
	code, _, stderr := campagnol(t, file)
	if code != 1 || !strings.Contains(stderr, "SHA1") || !strings.Contains(stderr, "campagnol ca sign") {
		t.Errorf("exit status %d, %q", code, stderr)
	}
}

// confValue returns the value of a key in a configuration file.
func confValue(t *testing.T, file, key string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, "="); ok && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("%s has no key %s", file, key)
	return ""
}

// setConf changes the value of a key in a configuration file.
func setConf(t *testing.T, file, key, value string) {
	t.Helper()
	old := confValue(t, file, key)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(b), "\n"+key+" = "+old+"\n", "\n"+key+" = "+value+"\n", 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestVerboseBlock: with -v the configuration is shown as the original shows it,
// and only then. (The start ends at a port that is taken.)
func TestVerboseBlock(t *testing.T) {
	t.Parallel()
	taken, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := writeConf(t, fmt.Sprintf("[NETWORK]\nlocal_port = %d", taken.LocalAddr().(*net.UDPAddr).Port))
	cfg, _, err := conf.LoadClient(file)
	if err != nil {
		t.Fatal(err)
	}
	a, err := findAddresses(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, ""}, {[]string{"-v"}, cfg.Describe(a.local)}, {[]string{"-d"}, cfg.Describe(a.local)},
	} {
		code, stdout, stderr := campagnol(t, append(c.args, file)...)
		if code != 1 || !strings.Contains(stderr, "in use") {
			t.Errorf("%q: exit status %d, %q, want that the port is in use", c.args, code, stderr)
		}
		if !strings.Contains(stdout, c.want) || strings.Contains(stdout, "Configuration:") != (c.want != "") {
			t.Errorf("%q: standard output\n%s\nwant\n%s", c.args, stdout, c.want)
		}
	}
}

// TestConfFileName: the file is /etc/campagnol.conf unless another is given, and
// may be anywhere among the options.
func TestConfFileName(t *testing.T) {
	t.Parallel()
	absent := filepath.Join(t.TempDir(), "absent.conf")
	cases := [][]string{{absent, "-v"}, {"-v", absent}, {"-v", "--", absent}, {"-p", "x", absent, "-m"}}
	want := []string{absent, absent, absent, absent}
	if _, err := os.Stat(defaultConf); err != nil { // else it would be used
		cases, want = append(cases, []string{"-v"}), append(want, defaultConf)
	}
	for i, args := range cases {
		if code, _, stderr := campagnol(t, args...); code != 1 || !strings.Contains(stderr, want[i]+": no such file") {
			t.Errorf("%q: exit status %d, %q, want an error about %s", args, code, stderr, want[i])
		}
	}
}

// startDNS starts a name server that knows one name, by its present address, and
// makes the resolver ask it.
func startDNS(t *testing.T, name string) (set func(netip.Addr)) {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	var now atomic.Pointer[netip.Addr]
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			if _, err := conn.WriteTo(answerDNS(b[:n], name, *now.Load()), from); err != nil {
				return
			}
		}
	}()
	before := net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = before })
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("udp4", conn.LocalAddr().String())
	}}
	return func(a netip.Addr) { now.Store(&a) }
}

// answerDNS answers a query for an address (RFC 1035 section 4).
func answerDNS(query []byte, name string, a netip.Addr) []byte {
	const header, yes, noSuchName = 12, 0, 3
	var question []byte
	for label := range strings.SplitSeq(name, ".") {
		question = append(append(question, byte(len(label))), label...)
	}
	question = append(question, 0, 0, 1, 0, 1) // A, IN
	b := append([]byte{}, query[:2]...)
	if !bytes.HasPrefix(query[header:], question) {
		return append(b, 0x81, 0x80|noSuchName, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	b = append(b, 0x81, 0x80|yes, 0, 1, 0, 1, 0, 0, 0, 0)
	b = append(b, question...)
	b = append(b, 0xc0, header, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4) // the same name, for 0 s
	return append(b, a.AsSlice()...)
}

// TestNamesResolvedAgain: a server that has moved is found by its name when a
// signal makes the client look. The original looks once, at the start.
func TestNamesResolvedAgain(t *testing.T) {
	set := startDNS(t, "rdv.example.org")
	file := writeConf(t, "")
	setConf(t, file, "server_host", "rdv.example.org")
	cfg, _, err := conf.LoadClient(file)
	if err != nil {
		t.Fatal(err)
	}
	pins, err := pki.OpenPins("")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{log: slog.New(slog.DiscardHandler), cfg: cfg,
		parts: &parts{cfg: cfg, port: 5000, trust: &trust{pins: pins}}}
	for _, addr := range []string{"127.0.0.1", "127.0.0.9", "127.0.0.1"} {
		set(netip.MustParseAddr(addr))
		var got netip.AddrPort
		n.apply(t.Context(), cfg, func(_ context.Context, s client.Settings) error {
			got = s.Servers[0].Addrs[0]
			return errors.New("that is all that we want to know")
		})
		if want := addr + ":57888"; got.String() != want {
			t.Errorf("the server is at %v, want %s", got, want)
		}
	}
}
