package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"campagnol/internal/lab"
	"campagnol/internal/testenv"
	"campagnol/internal/testenv/guide"

	"golang.org/x/sys/unix"
)

// proxyPort is where the office's proxy is.
const proxyPort = 3128

// newOffice makes the office of docs/office-to-home.md, whose firewall lets out nothing
// yet, and two homes.
func newOffice(t *testing.T) (v *village, firewall *lab.NAT) {
	t.Helper()
	testenv.Tool(t, "curl", "curl")
	v = newVillage(t)
	v.names["proxy.office.example"] = "172.20.1.5"
	firewall = v.nat("firewall", lab.NATOptions{Kind: lab.PortRestricted, LAN: netip.MustParsePrefix("172.20.1.0/24")})
	for i, name := range []string{"office", "intranet", "printer", "proxy"} {
		h := v.behind(name, firewall)
		if want := netip.AddrFrom4([4]byte{172, 20, 1, byte(i + 2)}); h.Addr() != want {
			t.Fatalf("%s is at %v, want %v", name, h.Addr(), want)
		}
	}
	v.host("anna", lab.PortRestricted)
	v.host("ben", lab.PortRestricted)
	for _, name := range []string{"intranet", "printer", "anna", "ben"} {
		v.serveWeb(name, 80, "a page of "+name)
	}
	v.serveWeb("intranet", 8080, "another page of intranet")
	return v, firewall
}

// serveProxy has a host be an HTTP proxy, which knows CONNECT to port 443 and nothing
// else. It returns how often that was asked for.
func (v *village) serveProxy(host string) (connects func() int) {
	v.t.Helper()
	ln, err := v.hosts[host].ListenTCP(netip.AddrPortFrom(netip.IPv4Unspecified(), proxyPort))
	v.must(err)
	v.t.Cleanup(func() { ln.Close() })
	asked := make(chan string, 1000)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go v.proxyOne(host, conn, asked)
		}
	}()
	return func() int { return len(asked) }
}

// proxyOne serves a connection to the proxy.
func (v *village) proxyOne(host string, conn net.Conn, asked chan<- string) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	req, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	name, port, err := net.SplitHostPort(req.Host)
	if known := v.names[name]; known != "" {
		name = known
	}
	at, err2 := netip.ParseAddrPort(net.JoinHostPort(name, port))
	if err != nil || err2 != nil || req.Method != http.MethodConnect || port != "443" {
		_, _ = io.WriteString(conn, "HTTP/1.1 403 Forbidden\r\n\r\n") // who has gone does not hear it
		return
	}
	out, err := v.hosts[host].DialTCP(v.t.Context(), at)
	if err != nil {
		_, _ = io.WriteString(conn, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
		return
	}
	defer out.Close()
	asked <- req.Host
	if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	go func() {
		defer out.Close()
		defer conn.Close()
		_, _ = io.Copy(out, in) // until either end closes
	}()
	_, _ = io.Copy(conn, out)
}

// TestOfficeToHome does what docs/office-to-home.md says, in an office that lets out TCP
// to port 443, and in one where only a proxy gets out. Workers reach what the policy
// lets them, and nothing else.
func TestOfficeToHome(t *testing.T) {
	t.Parallel()
	for _, proxied := range []bool{false, true} {
		t.Run(map[bool]string{false: "port 443", true: "proxy"}[proxied], func(t *testing.T) {
			t.Parallel()
			v, firewall := newOffice(t)
			connects := v.serveProxy("proxy")
			out := lab.Match{Protocol: unix.IPPROTO_TCP, DstPort: 443}
			if proxied {
				out = lab.Match{Src: netip.PrefixFrom(v.hosts["proxy"].Addr(), 32)}
			}
			v.must(firewall.LetOut(out))
			r := readIn(v, guide.Open(t, "docs/office-to-home.md"))
			r.workInOffice(proxied)
			r.all()
			v.heldToPolicy()
			if n := connects(); proxied != (n > 0) {
				t.Errorf("the proxy was asked for %d connections; that it is needed is %v", n, proxied)
			}
		})
	}
}

// workInOffice does what the guide says up to the question whether it works, but for
// that.
func (r *reader) workInOffice(proxied bool) {
	r.t.Helper()
	r.through("campagnol ca invite ben")
	r.addTo(villageServer, "/root/policy.txt", r.g.Text(r.t, "policy", 0))
	r.through("campagnol_rdv")
	for _, behindProxy := range []bool{false, true} { // one of the two is what this office needs
		if behindProxy == proxied {
			if out := r.next("campagnol join"); !strings.Contains(out, "by TLS") {
				r.t.Error("it does not say that it is by TLS")
			}
		} else {
			r.g.Next(r.t)
		}
	}
	r.addTo("office", "/etc/campagnol.conf", r.g.Text(r.t, "ini", 0))
	r.through("ip route add")
	for _, name := range []string{"anna", "ben"} {
		r.next("campagnol join")
		r.addTo(name, "/etc/campagnol.conf", r.g.Text(r.t, "ini", 1))
	}
	r.next("campagnol reload")
	r.next("campagnol reload")
	r.next("campagnol status")
	r.next("ping")
	if out := r.next("curl"); !strings.Contains(out, "a page of intranet") {
		r.t.Errorf("the intranet says %q", out)
	}
}

// heldToPolicy makes sure that workers reach nothing that the policy does not let them.
func (v *village) heldToPolicy() {
	v.t.Helper()
	var all sync.WaitGroup
	all.Go(func() { v.deaf("anna", "172.20.1.3", 8080) })
	for _, to := range []string{"172.20.1.4", "10.9.0.1", "10.9.0.3"} {
		all.Go(func() { v.unreachable("anna", to) })
	}
	all.Go(func() { v.unreachable("intranet", "10.9.0.2") })
	all.Wait()
	if out := v.run("office", "campagnol status"); !strings.Contains(out, "filter") {
		v.t.Errorf("no packet was stopped by the policy: %s", out)
	}
	v.pings("ben", "172.20.1.3")
}
