package pki

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"campagnol/internal/testenv"
	"campagnol/pki/pkitest"
)

// uris adds URIs to the subject alternative name.
func uris(list ...string) pkitest.Edit {
	return func(c *x509.Certificate) {
		for _, s := range list {
			u, err := url.Parse(s)
			if err != nil {
				panic(err) // a mistake in the test
			}
			c.URIs = append(c.URIs, u)
		}
	}
}

func dnsNames(list ...string) pkitest.Edit {
	return func(c *x509.Certificate) { c.DNSNames = list }
}

func TestAttributes(t *testing.T) {
	root := pkitest.NewCA(t, "root", now)
	many := func(format string, n int) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprintf(format, i))
		}
		return list
	}
	for _, c := range []struct {
		name  string // common name
		edits []pkitest.Edit
		want  string // the attributes, or "error: " and part of it
	}{
		{"alice", nil, "{[alice] [] [] []}"},
		{"Alice Smith", nil, "{[alice smith] [] [] []}"},
		{"Ärger", nil, "{[Ärger] [] [] []}"}, // ASCII only
		{"", nil, "{[] [] [] []}"},
		{"alice", []pkitest.Edit{dnsNames("B.example", "c", "b.EXAMPLE")}, "{[b.example c] [] [] []}"},
		{"a", []pkitest.Edit{pkitest.Addrs("10.9.0.1", "fd00::1", "10.9.0.1")}, "{[a] [10.9.0.1 fd00::1] [] []}"},
		{"a", []pkitest.Edit{uris("campagnol:group:admins", "campagnol:group:Server_2", "CAMPAGNOL:group:admins")}, "{[a] [] [admins server_2] []}"},
		{"a", []pkitest.Edit{uris("campagnol:route:192.168.7.0/24", "campagnol:route:fd00:7::/64", "campagnol:route:0.0.0.0/0")}, "{[a] [] [] [192.168.7.0/24 fd00:7::/64 0.0.0.0/0]}"},
		{"a", []pkitest.Edit{uris("https://example.org/campagnol:group:x", "urn:campagnol:group:x", "spiffe://x/y")}, "{[a] [] [] []}"},
		{"a", []pkitest.Edit{uris(many("campagnol:group:g%d", maxGroups)...)}, "{[a] [] [g0 g1 "},
		{"a", []pkitest.Edit{uris(many("campagnol:group:g%d", maxGroups+1)...)}, "error: it names 65 groups, and we take at most 64"},
		{"a", []pkitest.Edit{uris(many("campagnol:route:10.0.0.%d/32", maxRoutes)...)}, "{[a] [] [] [10.0.0.0/32 "},
		{"a", []pkitest.Edit{uris(append(many("campagnol:route:10.0.0.%d/32", maxRoutes), "campagnol:route:10.1.0.0/32")...)}, "error: it names 257 networks"},
		{"a", []pkitest.Edit{uris("campagnol:group:")}, `error: the URI "campagnol:group:": "" is not the name of a group`},
		{"a", []pkitest.Edit{uris("campagnol:group:a:b")}, `error: the URI "campagnol:group:a:b": "a:b" is not the name of a group`},
		{"a", []pkitest.Edit{uris("campagnol:group:-a")}, `error: the URI "campagnol:group:-a"`},
		{"a", []pkitest.Edit{uris("campagnol:group:a%20b")}, `"a%20b" is not the name`},
		{"a", []pkitest.Edit{uris("campagnol:group:" + strings.Repeat("x", 65))}, `is not the name of a group`},
		{"a", []pkitest.Edit{uris("campagnol:rdv")}, "{[a] [] [] []}"},
		{"a", []pkitest.Edit{uris("campagnol:rdv:x")}, `error: the URI "campagnol:rdv:x": it has a value`},
		{"a", []pkitest.Edit{uris("campagnol:groups:admins")}, `error: the URI "campagnol:groups:admins": expected "campagnol:group:NAME" or "campagnol:route:NETWORK"`},
		{"a", []pkitest.Edit{uris("campagnol:admins")}, `error: the URI "campagnol:admins": expected`},
		{"a", []pkitest.Edit{uris("campagnol://group/admins")}, `expected "campagnol:group:NAME"`},
		{"a", []pkitest.Edit{uris("campagnol:group:a?x=y")}, "query"},
		{"a", []pkitest.Edit{uris("campagnol:group:a?")}, "query"},
		{"a", []pkitest.Edit{uris("campagnol:group:a#b")}, "fragment"},
		{"a", []pkitest.Edit{uris("campagnol:route:192.168.7.1/24")}, "192.168.7.1/24 is an address within a network; the network is 192.168.7.0/24"},
		{"a", []pkitest.Edit{uris("campagnol:route:192.168.7.0")}, `"192.168.7.0" is not a network such as`},
		{"a", []pkitest.Edit{uris("campagnol:route:::ffff:10.0.0.0/104")}, "disguise"},
		{"a", []pkitest.Edit{uris("campagnol:route:224.0.0.0/4")}, "cannot be behind a host"},
		{"a", []pkitest.Edit{uris("campagnol:route:127.0.0.0/8")}, "cannot be behind a host"},
		{"a", []pkitest.Edit{pkitest.Addrs("0.0.0.0")}, "the address 0.0.0.0 cannot be the VPN address"},
		{"a", []pkitest.Edit{pkitest.Addrs("224.0.0.1")}, "the address 224.0.0.1 cannot be"},
		{"a", []pkitest.Edit{dnsNames("*.example")}, `the name "*.example" has a wildcard`},
		{`a"b`, nil, "quotes"},
		{" a", nil, "spaces around it"},
		{"a\nb", nil, `error: the name "a?b" has characters that cannot be printed`},
		{"a\u202eb", nil, "cannot be printed"},
		{strings.Repeat("x", 254), nil, "longer than 253 bytes"},
	} {
		cert := root.Issue(t, c.name, c.edits...).Cert
		got, err := AttributesOf(cert)
		text := fmt.Sprint(got)
		if err != nil {
			text = "error: " + strings.TrimPrefix(err.Error(), fmt.Sprintf("pki: certificate %s (serial %s): ", subjectOf(cert), serialOf(cert)))
			if strings.Contains(text, "pki:") || !slices.Equal(got.Groups, nil) {
				t.Errorf("%q: error %v does not name the certificate, or came with %v", c.name, err, got)
			}
		}
		if !strings.Contains(text, c.want) {
			t.Errorf("%q: %s, want %s", c.name, text, c.want)
		}
	}
}

// What a certificate says that nobody has signed is refused before anybody asks
// for its attributes: they come from the CA or not at all.
func TestAttributesForged(t *testing.T) {
	root, other := pkitest.NewCA(t, "root", now), pkitest.NewCA(t, "root", now)
	p := newPolicy(t, 0, root.Cert)
	edits := []pkitest.Edit{pkitest.Addrs("10.9.0.1"), uris("campagnol:group:admins")}
	good := root.Issue(t, "alice", edits...)
	peer, err := p.Verify(now, good.Raw(), Client)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := AttributesOf(peer.Leaf); err != nil || !slices.Equal(a.Groups, []string{"admins"}) {
		t.Errorf("attributes %v, %v, want the group", a, err)
	}
	tampered := slices.Clone(good.Cert.Raw)
	at := strings.Index(string(tampered), "campagnol:group:admins")
	if at < 0 {
		t.Fatal("the certificate does not have the URI in it")
	}
	copy(tampered[at:], "campagnol:group:owners")
	self := pkitest.CAWithCert(good.Cert, good.Key, now).Issue(t, "bob", edits...)
	for name, raw := range map[string][][]byte{
		"another group in a signed certificate":  {tampered},
		"a CA of the same name":                  other.Issue(t, "alice", edits...).Raw(),
		"a certificate that another host signed": append(self.Raw(), good.Cert.Raw),
	} {
		if peer, err := p.Verify(now, raw, Client); err == nil {
			t.Errorf("%s was accepted, as %v", name, peer)
		}
	}
}

func TestAttributeURIs(t *testing.T) {
	routes := []netip.Prefix{netip.MustParsePrefix("192.168.7.0/24"), netip.MustParsePrefix("fd00:7::/64")}
	list, err := AttributeURIs([]string{"Admins", "x-1"}, routes)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(list), "[campagnol:group:admins campagnol:group:x-1 campagnol:route:192.168.7.0/24 campagnol:route:fd00:7::/64]"; got != want {
		t.Errorf("URIs = %s, want %s", got, want)
	}
	for _, c := range []struct {
		groups []string
		routes []netip.Prefix
		want   string
	}{
		{[]string{"a b"}, nil, `"a b" is not the name of a group`},
		{[]string{""}, nil, `"" is not the name of a group`},
		{nil, []netip.Prefix{netip.MustParsePrefix("10.0.0.1/8")}, "the network is 10.0.0.0/8"},
		{nil, make([]netip.Prefix, 1), "not a network"},
		{make([]string, 65), nil, "64 groups"},
		{nil, make([]netip.Prefix, 257), "256 networks"},
	} {
		if _, err := AttributeURIs(c.groups, c.routes); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q, %v: %v, want %s", c.groups, c.routes, err, c.want)
		}
	}
}

// TestAttributesOpenSSL reads a certificate whose groups and networks were
// written by OpenSSL, as the manual says it.
func TestAttributesOpenSSL(t *testing.T) {
	openssl := testenv.Tool(t, "openssl", "openssl")
	dir := t.TempDir()
	cert := filepath.Join(dir, "cert.pem")
	out, err := exec.Command(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
		"-keyout", filepath.Join(dir, "key.pem"), "-out", cert, "-subj", "/CN=gate",
		"-addext", "subjectAltName=IP:10.9.0.3,URI:campagnol:group:server,URI:campagnol:route:192.168.7.0/24").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err := os.Stat(cert); err != nil {
		t.Fatal(err)
	}
	chain, err := LoadCertificates(cert)
	if err != nil {
		t.Fatal(err)
	}
	a, err := AttributesOf(chain[0])
	if got, want := fmt.Sprint(a, err), "{[gate] [10.9.0.3] [server] [192.168.7.0/24]} <nil>"; got != want {
		t.Errorf("attributes = %s, want %s", got, want)
	}
}

// FuzzAttributes reads certificates of any content, and checks that what is read
// is well formed and can be written again.
func FuzzAttributes(f *testing.F) {
	root := pkitest.NewCA(f, "root", now)
	for _, l := range []*pkitest.Leaf{
		root.Issue(f, "alice", pkitest.Addrs("10.9.0.1"), uris("campagnol:group:admins", "campagnol:route:192.168.7.0/24")),
		root.Issue(f, "bob", dnsNames("bob.example"), uris("campagnol:route:fd00::/8")),
		root.Issue(f, "", uris("campagnol:x", "https://x/")),
	} {
		f.Add(l.Cert.Raw, "alice", "campagnol:group:x")
	}
	f.Add([]byte{}, "*", "campagnol:route:10.0.0.0/8?")
	f.Add([]byte{}, "a\x00", "campagnol:route:::1/128")
	f.Fuzz(func(t *testing.T, der []byte, name, uri string) {
		if c, err := x509.ParseCertificate(der); err == nil {
			checkAttributes(t, c)
		}
		c := &x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{[]byte(name)}}
		if u, err := url.Parse(uri); err == nil {
			c.URIs = []*url.URL{u, u}
		}
		checkAttributes(t, c)
	})
}

func checkAttributes(t *testing.T, c *x509.Certificate) {
	t.Helper()
	a, err := AttributesOf(c)
	if err != nil {
		if strings.ContainsAny(err.Error(), "\n\x1b\x00") {
			t.Fatalf("error %q has control characters", err)
		}
		return
	}
	for _, n := range a.Names {
		if n == "" || strings.ContainsAny(n, "*\"\n\x00\x1b") || n != lowerASCII(n) {
			t.Fatalf("the name %q was accepted", n)
		}
	}
	list, err := AttributeURIs(a.Groups, a.Routes)
	if err != nil {
		t.Fatalf("%+v was accepted, and cannot be written: %v", a, err)
	}
	again, err := readAttributes(&x509.Certificate{URIs: list})
	if err != nil || !slices.Equal(again.Groups, a.Groups) || !slices.Equal(again.Routes, a.Routes) {
		t.Fatalf("%+v came back as %+v, %v", a, again, err)
	}
}

// BenchmarkAttributes reads what a certificate has when a peer comes.
func BenchmarkAttributes(b *testing.B) {
	root := pkitest.NewCA(b, "root", now)
	c := root.Issue(b, "alice", pkitest.Addrs("10.9.0.1", "fd00::1"), uris("campagnol:group:admins", "campagnol:route:192.168.7.0/24")).Cert
	for b.Loop() {
		if _, err := AttributesOf(c); err != nil {
			b.Fatal(err)
		}
	}
}
