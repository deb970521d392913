package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"campagnol/punch/nat"
	"campagnol/rdv"
)

// get asks for a page.
func get(h http.Handler, target string, edit ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8080"+target, nil)
	for _, e := range edit {
		e(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestHeaders: every answer forbids what could be done with the page by others.
func TestHeaders(t *testing.T) {
	h := New(Config{Source: sample(t, 5)})
	for target, kind := range map[string]string{
		"/": "text/html; charset=utf-8", "/?q=x": "text/html; charset=utf-8", "/style.css": "text/css; charset=utf-8",
		"/script.js": "text/javascript; charset=utf-8", "/icon.svg": "image/svg+xml", "/no/such": "text/plain; charset=utf-8",
	} {
		w := get(h, target)
		want := http.StatusOK
		if target == "/no/such" {
			want = http.StatusNotFound
		}
		if w.Code != want || w.Header().Get("Content-Type") != kind {
			t.Errorf("%s: %d, %s; want %d, %s", target, w.Code, w.Header().Get("Content-Type"), want, kind)
		}
		for name, value := range map[string]string{
			"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "Set-Cookie": "", "Access-Control-Allow-Origin": "",
		} {
			if got := w.Header().Get(name); got != value {
				t.Errorf("%s: %s: %q, want %q", target, name, got, value)
			}
		}
	}
}

// TestOnlyLooks: nothing but GET is answered.
func TestOnlyLooks(t *testing.T) {
	h := New(Config{Source: sample(t, 1)})
	for _, method := range []string{"HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "X"} {
		if w := get(h, "/", func(r *http.Request) { r.Method = method }); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET" {
			t.Errorf("%s is answered with %d", method, w.Code)
		}
	}
}

// TestRebinding: without a password the page is shown under loopback addresses only, so
// that no web page elsewhere can have its name lead here and read it.
func TestRebinding(t *testing.T) {
	open := New(Config{Source: sample(t, 1)})
	locked := New(Config{Source: sample(t, 1), User: "u", Password: "a long password"})
	for host, ok := range map[string]bool{
		"127.0.0.1:8080": true, "127.0.0.1": true, "localhost:8080": true, "[::1]:8080": true, "[::1]": true, "127.7.7.7:1": true,
		"evil.example": false, "evil.example:8080": false, "localhost.evil.example": false, "192.0.2.1:8080": false, "": false,
		"127.0.0.1.evil.example:8080": false, "[": false, "[]": false,
	} {
		want := map[bool]int{false: http.StatusForbidden, true: http.StatusOK}[ok]
		if w := get(open, "/", func(r *http.Request) { r.Host = host }); w.Code != want {
			t.Errorf("Host %q is answered with %d, want %d", host, w.Code, want)
		}
		w := get(locked, "/", func(r *http.Request) { r.Host = host; r.SetBasicAuth("u", "a long password") })
		if w.Code != http.StatusOK {
			t.Errorf("with a password, Host %q is answered with %d", host, w.Code)
		}
	}
}

// TestPassword: nobody sees anything without it, and who guesses has to wait, but nobody
// else.
func TestPassword(t *testing.T) {
	now := noon
	h := New(Config{Source: sample(t, 5), User: "admin", Password: "correct horse", Now: func() time.Time { return now }})
	try := func(from, user, password string) int {
		w := get(h, "/", func(r *http.Request) {
			r.RemoteAddr = from
			if user != "" {
				r.SetBasicAuth(user, password)
			}
		})
		if w.Code != http.StatusOK && strings.Contains(w.Body.String(), "alice") {
			t.Errorf("status %d, and the page", w.Code)
		}
		if asks := w.Header().Get("WWW-Authenticate") != ""; asks != (w.Code == http.StatusUnauthorized) {
			t.Errorf("status %d, asks for a password: %v", w.Code, asks)
		}
		return w.Code
	}
	for _, c := range []struct {
		from, user, password string
		want                 int
	}{
		{"192.0.2.1:1", "", "", 401}, {"192.0.2.1:1", "admin", "correct horse", 200}, {"192.0.2.1:1", "admin", "correct hors", 401},
		{"192.0.2.1:1", "Admin", "correct horse", 401}, {"192.0.2.1:1", "admin", "correct horse ", 401}, {"192.0.2.1:1", "admin", "", 401},
	} {
		if got := try(c.from, c.user, c.password); got != c.want {
			t.Errorf("%q with %q: %d, want %d", c.user, c.password, got, c.want)
		}
	}
	for range failureBurst {
		try("[2001:db8::1]:7", "admin", "guess")
	}
	if got := try("[2001:db8::2]:8", "admin", "correct horse"); got != http.StatusTooManyRequests {
		t.Errorf("after %d guesses of a network: %d", failureBurst, got)
	}
	if got := try("[2001:db8:0:1::2]:8", "admin", "correct horse"); got != http.StatusOK {
		t.Errorf("another network: %d", got)
	}
	now = now.Add(2 * failureEvery)
	if got := try("[2001:db8::2]:8", "admin", "correct horse"); got != http.StatusOK {
		t.Errorf("a moment later: %d", got)
	}
}

// TestGuardIsBounded: from however many networks somebody guesses.
func TestGuardIsBounded(t *testing.T) {
	var g guard
	for i := range 3 * maxGuarded {
		g.failed(noon, netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
		if len(g.till) > maxGuarded {
			t.Fatalf("%d networks are remembered", len(g.till))
		}
	}
}

// evil is what members may call themselves.
const evil = `<script>alert(1)</script>"'><img src=x onerror=alert(2)>` + "\x1b[2J\u202e"

// TestHostileNames: what members and strangers say of themselves stays text, everywhere.
func TestHostileNames(t *testing.T) {
	s := sample(t, 3)
	for i := range s.o.Clients {
		s.o.Clients[i].Name, s.o.Clients[i].Software, s.o.Clients[i].Channel = evil, evil, true
		s.o.Clients[i].Relay.Allocations = 1
	}
	s.h.Add(noon, rdv.Event{Kind: rdv.HandshakeFailed, Why: evil, Name: evil})
	s.o.Refusals = s.h.Refusals()
	body := get(New(Config{Source: s}), "/?q="+url.QueryEscape(`"><script>alert(3)</script>`)).Body.String() + get(New(Config{Source: s}), "/").Body.String()
	if n := strings.Count(body, "<script"); n != 2 || strings.Contains(body, "<img") || strings.Contains(body, "\x1b") || strings.Contains(body, "\u202e") {
		t.Errorf("%d scripts are on two pages, want one on each, and no picture or control character", n)
	}
	if !strings.Contains(body, "&lt;script&gt;") {
		t.Error("the names are not there at all")
	}
}

// TestNothingFromElsewhere: no address of another server is on the page.
func TestNothingFromElsewhere(t *testing.T) {
	h := New(Config{Source: sample(t, 60)})
	for _, target := range []string{"/", "/style.css", "/script.js", "/icon.svg"} {
		body := strings.ReplaceAll(get(h, target).Body.String(), "http://www.w3.org/2000/svg", "")
		if m := regexp.MustCompile(`(?i)https?://|src="//|href="//|@import|url\(`).FindString(body); m != "" {
			t.Errorf("%s has %q", target, m)
		}
		if strings.Contains(body, "style=") || strings.Contains(body, "onclick=") {
			t.Errorf("%s has what the policy forbids", target)
		}
	}
}

// TestStopped: a server that ends says so.
func TestStopped(t *testing.T) {
	server := rdv.New(rdv.Config{Conn: nil})
	w := get(New(Config{Source: server}), "/", func(r *http.Request) { *r = *r.WithContext(canceled(t)) })
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d", w.Code)
	}
}

// TestLargePage: a page about a thousand members is bounded, and made in time.
func TestLargePage(t *testing.T) {
	s := sample(t, 1000)
	for range 5 * shownEvents {
		s.h.Add(noon, rdv.Event{Kind: rdv.ClientAdded, VPN: s.o.Clients[0].VPN[0]})
	}
	h := New(Config{Source: s})
	w := get(h, "/?page=3&sort=introductions")
	const most = 400 << 10
	if n := w.Body.Len(); n > most {
		t.Errorf("the page has %d bytes, want %d at most", n, most)
	}
	body := w.Body.String()
	for what, want := range map[string]int{`<tr><th scope="row"><span>10.9.`: perPage, `<g class="tip">`: 0, `<li><time`: shownEvents + len(s.o.Refusals)} {
		if got := strings.Count(body, what); got != want {
			t.Errorf("%d times %s, want %d", got, what, want)
		}
	}
	best := time.Hour
	for range 5 { // others may be busy on this machine
		began := time.Now()
		get(h, "/")
		best = min(best, time.Since(began))
	}
	if limit := 500 * time.Millisecond; best > limit {
		t.Errorf("the page took %v, want %v at most, even with the race detector", best, limit)
	}
	t.Logf("the page has %d bytes, and took %v", w.Body.Len(), best)
}

// BenchmarkPage makes a page about a thousand members.
func BenchmarkPage(b *testing.B) {
	h := New(Config{Source: sample(b, 1000)})
	for b.Loop() {
		if w := get(h, "/"); w.Code != http.StatusOK {
			b.Fatal(w.Code)
		}
	}
}

// FuzzQuery: whatever is asked for, there is a page.
func FuzzQuery(f *testing.F) {
	for _, q := range []string{"", "q=alice&sort=name&page=2", "page=-1", "page=99999999999999999999", "sort=\x00&q=%ff", "q=" + strings.Repeat("é", 99)} {
		f.Add(q)
	}
	h := New(Config{Source: sample(f, 120)})
	f.Fuzz(func(t *testing.T, raw string) {
		w := get(h, "/", func(r *http.Request) { r.URL.RawQuery = raw })
		if w.Code != http.StatusOK || strings.Count(w.Body.String(), "<script") != 1 || !strings.HasSuffix(w.Body.String(), "</html>\n") {
			t.Errorf("%q: status %d, %d bytes", raw, w.Code, w.Body.Len())
		}
	})
}

// TestSearchAndSort: the list is what was asked for.
func TestSearchAndSort(t *testing.T) {
	s := sample(t, 120)
	for _, c := range []struct {
		query, first   string
		found, onPage  int
		previous, next string
	}{
		{"", "10.9.0.1 fd00:9::1", 120, 25, "", "?page=2#members"},
		{"page=5", "10.9.0.101 fd00:9::65", 120, 20, "?page=4#members", ""},
		{"page=77", "10.9.0.101 fd00:9::65", 120, 20, "?page=4#members", ""},
		{"page=x", "10.9.0.1 fd00:9::1", 120, 25, "", "?page=2#members"},
		{"dir=desc", "10.9.0.120 fd00:9::78", 120, 25, "", "?dir=desc&page=2#members"},
		{"dir=up", "10.9.0.1 fd00:9::1", 120, 25, "", "?page=2#members"},
		{"q=ALICE", "10.9.0.1 fd00:9::1", 16, 16, "", ""},
		{"q=fd00:9::3&sort=address", "10.9.0.3 fd00:9::3", 14, 14, "", ""},
		{"q=symmetric&sort=since", "10.9.0.117 fd00:9::75", 17, 17, "", ""},
		{"q=symmetric&sort=since&dir=desc", "10.9.0.3 fd00:9::3", 17, 17, "", ""},
		{"q=nobody", "", 0, 0, "", ""},
		{"only=clear", "10.9.0.7", 17, 17, "", ""},
		{"only=channel&page=2", "10.9.0.30 fd00:9::1e", 103, 25, "?only=channel#members", "?only=channel&page=3#members"},
		{"only=hard&q=cologne", "10.9.0.3 fd00:9::3", 17, 17, "", ""},
		{"only=relay&sort=relay", "10.9.0.113 fd00:9::71", 9, 9, "", ""},
		{"only=ending", "10.9.0.1 fd00:9::1", 1, 1, "", ""},
		{"only=tcp", "", 0, 0, "", ""},
		{"only=root", "10.9.0.1 fd00:9::1", 120, 25, "", "?page=2#members"},
		{"sort=expires", "10.9.0.1 fd00:9::1", 120, 25, "", "?page=2&sort=expires#members"},
		{"sort=endpoint", "10.9.0.1 fd00:9::1", 120, 25, "", "?page=2&sort=endpoint#members"},
		{"sort=relay", "10.9.0.113 fd00:9::71", 120, 25, "", "?page=2&sort=relay#members"},
		{"sort=drop table", "10.9.0.1 fd00:9::1", 120, 25, "", "?page=2#members"},
	} {
		v, _ := url.ParseQuery(c.query)
		m := listOf(s.o, askedFor(v))
		first := ""
		if len(m.Rows) > 0 {
			first = strings.Join(m.Rows[0].VPN, " ")
		}
		if got, want := fmt.Sprintln(m.Found, len(m.Rows), first, m.Previous, m.Next), fmt.Sprintln(c.found, c.onPage, c.first, c.previous, c.next); got != want {
			t.Errorf("%q: %s, want %s", c.query, got, want)
		}
	}
}

// TestHeadings: a heading sorts the list, and turns it round if it does already; the
// search stays.
func TestHeadings(t *testing.T) {
	v, _ := url.ParseQuery("q=lab&only=channel&sort=nat&page=3")
	var got string
	for _, h := range askedFor(v).headings() {
		if h.Link != "" {
			got += h.Label + ": " + h.Link + " " + h.Sorted + "\n"
		}
	}
	const want = "VPN address: ?only=channel&q=lab#members \nName: ?only=channel&q=lab&sort=name#members \n" +
		"NAT: ?dir=desc&only=channel&q=lab&sort=nat#members ascending\nEndpoint: ?only=channel&q=lab&sort=endpoint#members \n" +
		"Registered: ?only=channel&q=lab&sort=since#members \nHeard: ?only=channel&q=lab&sort=heard#members \n" +
		"Certificate: ?only=channel&q=lab&sort=expires#members \nRelayed: ?only=channel&q=lab&sort=relay#members \n" +
		"Asked: ?only=channel&q=lab&sort=introductions#members \n"
	if got != want {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}
}

// TestShapes: who is found worse than others is drawn otherwise.
func TestShapes(t *testing.T) {
	for want, list := range map[string][]rdv.ClientInfo{
		shapeOpen:    {{Channel: true, NAT: public}},
		shapeNAT:     {{Channel: true, NAT: portRestricted}, {Channel: true, NAT: fullCone}},
		shapeHard:    {{Channel: true, NAT: symmetric}, {Channel: true, NAT: nat.Behaviour{Known: true, Blocked: true}}},
		shapeUnknown: {{Channel: true}},
		shapeClear:   {{}, {NAT: fullCone}},
	} {
		for _, c := range list {
			if got := shapeOf(&c); got != want {
				t.Errorf("%+v is drawn as %s, want %s", c.NAT, got, want)
			}
		}
	}
}

// TestRefusedWords: each kind of refusal has a word, and is counted by it.
func TestRefusedWords(t *testing.T) {
	h := rdv.NewHistory()
	refusals := 0
	for k := rdv.EventKind(1); k < 50; k++ {
		if word := refusedWord(k); (word != "") != k.IsRefusal() {
			t.Errorf("the word for %v is %q", k, word)
		}
		if k.IsRefusal() {
			refusals++
			h.Add(noon, rdv.Event{Kind: k})
		}
	}
	h.Add(noon, rdv.Event{Kind: rdv.Forbidden})
	list := refusedOf(h.Refusals())
	if len(list) != refusals || list[0] != (refusedKind{"policy", 2}) || list[1].Count != 1 {
		t.Errorf("of %d kinds: %v", refusals, list)
	}
}
