package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/internal/lab"
	"campagnol/internal/testenv"
	"campagnol/internal/testenv/chromium"
)

// These tests look at the rendezvous server's page (campagnol_rdv --web) while real hosts
// register, find each other, are relayed, refused, revoked, and leave.

// webPolicy lets staff talk, and guests with those in the lobby.
const webPolicy = `version 1
group staff = role:staff
group guests = role:guest
group lobby = role:lobby
default deny
allow staff <-> staff
allow guests <-> lobby
allow relay: all <-> all through all
`

// webHosts are the hosts of the test, in the order in which they join: the first one has
// 10.9.0.1. The second of two with one NAT has none of its own.
var webHosts = []struct {
	name string
	nat  lab.Kind
	with string // behind the NAT of
	args string // of the invitation
	seen string // what the page says of its NAT: which strangers are let in, a server with one address does not find out
}{
	{"alice", lab.PortRestricted, "", "--group staff", "port-restricted NAT"},
	{"backup", lab.None, "", "--group staff,lobby --days 20", "public"},
	{"cologne", lab.Symmetric, "", "--group staff", "symmetric NAT"},
	{"dora", lab.Symmetric, "", "--group staff", "symmetric NAT"},
	{"erlangen", lab.FullCone, "", "--group staff", "cone NAT"},
	{"office", lab.FullCone, "erlangen", "--group staff", "cone NAT"},
	{"files", lab.Restricted, "", "--group staff", "cone NAT"},
	{"guest", lab.PortRestricted, "", "--group guest", "port-restricted NAT"},
	{"mallory", lab.PortRestricted, "", "--group staff", "port-restricted NAT"},
}

const webURL = "http://127.0.0.1:8080/"

// newWebVillage makes a village whose server shows its page at webURL, with webHosts.
func newWebVillage(t *testing.T) (*village, map[string]string) {
	t.Helper()
	v := newVillage(t)
	if err := os.WriteFile(v.path(villageServer, "/root/policy"), []byte(webPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	v.run(villageServer, "campagnol ca init --rdv "+villageServer+" --network 10.9.0.0/24")
	v.run(villageServer, "campagnol_rdv -D --authority --auth strict --relay --policy /root/policy --web 127.0.0.1:8080")
	nats := map[string]*lab.NAT{}
	vpn := map[string]string{}
	for i, h := range webHosts {
		if h.nat != lab.None && h.with == "" {
			nat, err := v.lab.AddNAT("nat"+fmt.Sprint(i), lab.NATOptions{Kind: h.nat})
			if err != nil {
				t.Fatal(err)
			}
			nats[h.name] = nat
		} else if h.with != "" {
			nats[h.name] = nats[h.with]
		}
		host, err := v.lab.AddHost(h.name, nats[h.name])
		if err != nil {
			t.Fatal(err)
		}
		v.settle(h.name, host)
		v.run(h.name, "campagnol join "+v.invite(villageServer, h.name+" "+h.args))
		vpn[h.name] = vpnOf(i + 1)
	}
	return v, vpn
}

// browse starts a browser on the server's host.
func (v *village) browse() (b *chromium.Browser) {
	v.t.Helper()
	err := v.hosts[villageServer].Do(func() error {
		b = chromium.Start(v.t)
		return nil
	})
	if err != nil {
		v.t.Fatal(err)
	}
	return b
}

// webAwaits fails the test if an expression does not become true on a page.
func webAwaits(t *testing.T, p *chromium.Page, what, expression string) {
	t.Helper()
	if !p.Await(expression) {
		var text string
		p.Eval(`["mesh-words", "member-list", "refusal-list", "event-list"].map(id => document.getElementById(id)?.innerText).join("\n")`, &text)
		t.Fatalf("%s: the page does not show it: %s\n%s", what, expression, text)
	}
}

// webLine is an expression: how the page says in words what there is between two hosts.
func webLine(a, b string) string {
	return fmt.Sprintf(`([...document.querySelectorAll("#mesh-words tbody tr")].map(r => r.innerText || r.textContent).find(t => t.includes(%q) && t.includes(%q)) ?? "")`, a+" (", b+" (")
}

// TestRDVWebPage: the page about a server with hosts behind all kinds of NATs is true: of
// which kind they are, who is relayed and who is not, whom the policy has kept apart,
// whose certificate ends, who was revoked; and who leaves is gone. With -update the
// pictures in the documents are made of it.
func TestRDVWebPage(t *testing.T) {
	// Not parallel: the pictures show how soon things happen.
	testenv.Tool(t, "chromium", "chromium")
	v, vpn := newWebVillage(t)
	b := v.browse()
	p := b.Open(chromium.View{Width: 1280, Height: 900})
	p.Go(webURL)
	webAwaits(t, p, "all are registered", fmt.Sprintf(`document.title.startsWith("%d members")`, len(webHosts)))
	for _, h := range webHosts {
		webAwaits(t, p, h.name+"'s NAT", fmt.Sprintf(
			`[...document.querySelectorAll("#member-list tbody tr")].some(r => r.querySelector(".name").innerText.startsWith("%s\n") && r.querySelector("th").innerText.startsWith("%s") && r.querySelector(".nat").innerText.includes("%s") && r.querySelector(".at").innerText.includes("channel"))`,
			h.name, vpn[h.name], h.seen))
	}
	for _, pair := range [][2]string{
		{"alice", "backup"}, {"alice", "files"}, {"alice", "erlangen"}, {"files", "backup"}, {"office", "files"}, {"office", "erlangen"},
		{"cologne", "dora"}, {"cologne", "backup"}, {"dora", "erlangen"}, {"guest", "backup"}, {"mallory", "alice"},
	} {
		v.pings(pair[0], vpn[pair[1]])
	}
	v.run("guest", "campagnol ping -c 1 -W 2 "+vpn["alice"]+" || true")
	webAwaits(t, p, "the relayed pair", webLine("cologne", "dora")+`.includes("relayed by this server")`)
	webAwaits(t, p, "the refused pair", webLine("guest", "alice")+`.includes("refused by the policy") && document.querySelector(".mesh .cross")`)
	webAwaits(t, p, "its reason", `document.getElementById("refusal-list").innerText.includes("not introduced to `+vpn["alice"]+` by the policy: denied by line 5: default deny")`)
	webAwaits(t, p, "the pair that met at once", webLine("guest", "backup")+`.includes("direct")`)
	webAwaits(t, p, "the certificate that ends", `/⚠ 1[\s\S]*certificates end/.test(document.getElementById("tiles").innerText) && /^backup/.test(document.querySelector("#expiry-list tbody th").innerText) && document.querySelector("#expiry-list .warning").innerText.includes("in 19d")`)
	webAwaits(t, p, "two in one network", `document.querySelectorAll(".hulls path").length === 1`)
	v.pings("cologne", vpn["dora"]) // it is still relayed when the pictures are taken
	takePictures(t, b)
	p.Front()

	began := time.Now()
	v.run(villageServer, "campagnol ca revoke mallory")
	v.wantCut("alice", vpn["mallory"], began)
	webAwaits(t, p, "who was revoked is gone", fmt.Sprintf(`document.title.startsWith("%d members") && !document.getElementById("member-list").innerText.includes("mallory")`, len(webHosts)-1))
	webAwaits(t, p, "and why", `document.getElementById("refusal-list").innerText.includes("revoked") && document.getElementById("refusal-list").innerText.includes("mallory")`)
	webAwaits(t, p, "who met directly is not called relayed", `!`+webLine("alice", "files")+`.includes("relayed")`)
	v.kill("files", "/run/campagnol.pid", "TERM")
	webAwaits(t, p, "who leaves is gone", fmt.Sprintf(`document.title.startsWith("%d members") && !document.querySelector("#mesh a[aria-label^='files ']")`, len(webHosts)-2))
	if problems := p.Problems(); len(problems) > 0 {
		t.Errorf("the browser says\n%s", strings.Join(problems, "\n"))
	}
	for _, r := range p.Requests() {
		if !strings.HasPrefix(r, webURL) {
			t.Errorf("it loads %s", r)
		}
	}
}

// takePictures keeps how the page looks, as artifacts, and with -update in the documents.
func takePictures(t *testing.T, b *chromium.Browser) {
	t.Helper()
	for name, view := range map[string]chromium.View{
		"rdv-web-light": {Width: 1280, Height: 1540, Still: true}, "rdv-web-dark": {Width: 1280, Height: 1540, Dark: true, Still: true},
		"rdv-web-phone": {Width: 360, Height: 740, Still: true},
	} {
		p := b.Open(view)
		p.Go(webURL)
		webAwaits(t, p, name, webLine("cologne", "dora")+`.includes("relayed by this server")`)
		if view.Width < 500 {
			p.Eval(`(document.getElementById("mesh").scrollIntoView(), true)`, new(bool))
		}
		path := p.Screenshot(name, false)
		if !*update {
			continue
		}
		png, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(filepath.Join("../../docs", name+".png"), png, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
