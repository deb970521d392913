package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"campagnol/internal/testenv/chromium"
	"campagnol/rdv"
)

// A changing source tells what it was given last. It is safe for concurrent use.
type changing struct {
	mu  sync.Mutex
	now fixed
	err error
}

func (c *changing) Overview(context.Context) (*rdv.Overview, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now.o, c.err
}

func (c *changing) History() *rdv.History {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now.h
}

func (c *changing) set(now fixed, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.err = now, err
}

// serveChanging shows a page about members, which may change, in a browser.
func serveChanging(t *testing.T, members int, v chromium.View) (*changing, *chromium.Page, *httptest.Server) {
	t.Helper()
	b := chromium.Start(t)
	source := &changing{now: sample(t, members)}
	server := httptest.NewServer(New(Config{Source: source}))
	t.Cleanup(server.Close)
	p := b.Open(v)
	p.Go(server.URL + "/")
	return source, p, server
}

// awaits fails the test if an expression does not become true.
func awaits(t *testing.T, p *chromium.Page, what, expression string) {
	t.Helper()
	if !p.Await(expression) {
		var seen string
		p.Eval(`location.href + "\n" + document.body.innerText.slice(0, 3000)`, &seen)
		t.Fatalf("%s: not %s\n%s", what, expression, seen)
	}
}

// TestLive: who comes and goes is seen without anybody doing anything, heard once, and
// the keyboard, what was opened and what was scrolled stay.
func TestLive(t *testing.T) {
	source, p, _ := serveChanging(t, 12, chromium.View{Width: 1280, Height: 900, Still: true})
	awaits(t, p, "at first", `document.getElementById("found").innerText.startsWith("12 members")`)
	p.Eval(`(() => {
		window.marked = document.querySelector("#pace-drawing .spark");
		document.getElementById("mesh-words").open = true;
		document.querySelector("#mesh-words .scroll").scrollTo(0, 30);
		document.querySelector('.mesh a[aria-label^="alice "]').focus();
		return true;
	})()`, new(bool))
	source.set(sample(t, 13), nil)
	awaits(t, p, "one more", `document.querySelectorAll("#member-list tbody tr").length === 13`)
	awaits(t, p, "one more", `document.title.startsWith("13 members") && document.getElementById("spoken").textContent.startsWith("13 members")`)
	awaits(t, p, "one more", `document.querySelectorAll(".mesh a").length === 13`)
	var kept struct {
		Focus    string
		Open     bool
		Scrolled float64
		Lit      int
	}
	p.Eval(`({
		focus: document.activeElement.ariaLabel ?? "", open: document.getElementById("mesh-words").open,
		scrolled: document.querySelector("#mesh-words .scroll").scrollTop, lit: document.querySelectorAll(".edges .lit").length,
	})`, &kept)
	if !strings.HasPrefix(kept.Focus, "alice ") || !kept.Open || kept.Scrolled != 30 || kept.Lit == 0 {
		t.Errorf("after that: %+v", kept)
	}
	source.set(sample(t, 2), nil)
	awaits(t, p, "most have left", `document.querySelectorAll(".mesh a").length === 2 && document.title.startsWith("2 members")`)
	source.set(sample(t, 0), nil)
	awaits(t, p, "all have left", `document.getElementById("mesh").innerText.includes("Nobody is registered yet.") && document.activeElement.id === "mesh"`)
	if problems := p.Problems(); len(problems) > 0 {
		t.Errorf("the browser says\n%s", strings.Join(problems, "\n"))
	}
}

// TestPause: nothing changes until one goes on.
func TestPause(t *testing.T) {
	source, p, _ := serveChanging(t, 5, chromium.View{Width: 1280, Height: 900})
	p.Point("#pause", true)
	awaits(t, p, "pause", `document.getElementById("pause").ariaPressed === "true"`)
	source.set(sample(t, 6), nil)
	p.Eval(`new Promise(done => setTimeout(() => done(true), 2 * interval))`, new(bool))
	var rows int
	p.Eval(`document.querySelectorAll("#member-list tbody tr").length`, &rows)
	if rows != 5 {
		t.Errorf("%d members are shown while the page pauses, want 5", rows)
	}
	p.Point("#pause", true)
	awaits(t, p, "going on", `document.querySelectorAll("#member-list tbody tr").length === 6`)
}

// TestLost: a server that does not answer is told of, and by when it did; and that it
// does again, too.
func TestLost(t *testing.T) {
	source, p, server := serveChanging(t, 5, chromium.View{Width: 360, Height: 740})
	source.set(sample(t, 5), rdv.ErrStopped)
	awaits(t, p, "refused", `document.getElementById("connection").innerText.includes("refuses to answer (503)") && document.documentElement.classList.contains("stale")`)
	source.set(sample(t, 6), nil)
	awaits(t, p, "back", `document.getElementById("connection").hidden && !document.documentElement.classList.contains("stale") && document.title.startsWith("6 ")`)
	address := server.Listener.Addr().String()
	server.CloseClientConnections()
	server.Close()
	awaits(t, p, "gone", `/does not answer. What is below is as of \d\d:\d\d:\d\d UTC; trying again/.test(document.getElementById("connection").innerText)`)
	p.Screenshot("rdv-lost", false)
	again := &http.Server{Addr: address, Handler: New(Config{Source: source}), ReadHeaderTimeout: time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- again.ListenAndServe() }()
	t.Cleanup(func() {
		again.Close()
		if err := <-failed; err != http.ErrServerClosed {
			t.Errorf("serving again: %v", err)
		}
	})
	awaits(t, p, "there again", `document.getElementById("connection").hidden`)
}

// TestTheme: the button turns to the other theme, which is kept.
func TestTheme(t *testing.T) {
	_, p, server := serveChanging(t, 3, chromium.View{Width: 1280, Height: 900, Dark: true})
	back := func() (color string) {
		p.Eval(`document.getElementById("theme").innerText + " " + getComputedStyle(document.body).backgroundColor`, &color)
		return color
	}
	if got, want := back(), "Light rgb(17, 22, 28)"; got != want {
		t.Errorf("as the system prefers: %s, want %s", got, want)
	}
	p.Point("#theme", true)
	for _, when := range []string{"after the button", "at the next time"} {
		if got, want := back(), "Dark rgb(244, 246, 248)"; got != want {
			t.Errorf("%s: %s, want %s", when, got, want)
		}
		p.Go(server.URL + "/")
	}
	p.Point("#theme", true)
	if got, want := back(), "Light rgb(17, 22, 28)"; got != want {
		t.Errorf("back again: %s, want %s", got, want)
	}
}

// TestFinding: one finds members while one types, by what they are, and in an order of
// one's own, without the page being loaded again; its address leads to the same.
func TestFinding(t *testing.T) {
	_, p, server := serveChanging(t, 120, chromium.View{Width: 1280, Height: 900, Still: true})
	p.Eval(`(window.same = true)`, new(bool))
	first := `document.querySelector("#member-list tbody .name")?.firstChild.data`
	rows := `document.querySelectorAll("#member-list tbody tr").length`
	p.Point("#find [type=search]", true)
	p.Type("cologne")
	awaits(t, p, "typed", rows+` === 17 && location.search === "?q=cologne"`)
	awaits(t, p, "typed", `document.getElementById("spoken").textContent.startsWith("17 of 120 members")`)
	choose := func(name, value string) {
		p.Eval(`(e => { e.value = "`+value+`"; e.dispatchEvent(new Event("input", { bubbles: true })); return true; })(document.querySelector("#find [name=`+name+`]"))`, new(bool))
	}
	choose("only", "relay")
	awaits(t, p, "only those that use the relay", rows+` < 17 && `+rows+` > 0 && location.search === "?q=cologne&only=relay"`)
	choose("only", "all")
	choose("sort", "relay")
	awaits(t, p, "sorted", first+` === "cologne-gw-68" && document.querySelector("[aria-sort=ascending]").innerText.startsWith("Relayed")`)
	p.Point("[aria-sort] a", true)
	awaits(t, p, "the other way round", `document.querySelector("[aria-sort=descending]")?.innerText.startsWith("Relayed") && document.querySelector("#find [name=dir]").checked`)
	p.Point(".pager a", true)
	awaits(t, p, "all of them", rows+` === 25 && location.search === "" && document.querySelector("#find [type=search]").value === ""`)
	p.Point("[rel=next]", true)
	awaits(t, p, "the next page", `document.getElementById("found").innerText === "120 members, page 2 of 5"`)
	var loadedOnce bool
	p.Eval(`window.same === true`, &loadedOnce)
	if !loadedOnce {
		t.Error("the page was loaded again")
	}
	p.Go(server.URL + "/?q=nobody-at-all")
	awaits(t, p, "nobody", `document.getElementById("member-list").innerText.includes("Nobody is registered whom this finds.")`)
	p.Press("Tab")
	if problems := p.Problems(); len(problems) > 0 {
		t.Errorf("the browser says\n%s", strings.Join(problems, "\n"))
	}
}

// TestMeshPointer: who points at a member sees its lines, and what it is.
func TestMeshPointer(t *testing.T) {
	_, p, _ := serveChanging(t, 12, chromium.View{Width: 1280, Height: 900})
	p.Point(`.mesh a[aria-label^="backup ("] .shape`, false)
	awaits(t, p, "pointed at", `document.querySelector(".mesh.picking")`)
	var seen struct {
		Lit, Lines int
		Tip        string
	}
	p.Eval(`({
		lit: document.querySelectorAll(".edges .lit").length, lines: document.querySelectorAll(".edges > g").length,
		tip: [...document.querySelectorAll(".tip")].filter(e => getComputedStyle(e).visibility === "visible").map(e => e.textContent).join("|"),
	})`, &seen)
	if seen.Lit == 0 || seen.Lit >= seen.Lines || !strings.HasPrefix(seen.Tip, "backup (10.9.0.2): port-restricted NAT") || strings.Contains(seen.Tip, "|") {
		t.Errorf("%+v", seen)
	}
	p.Screenshot("rdv-pointed", false)
	p.Point("h1", false)
	awaits(t, p, "away", `!document.querySelector(".mesh.picking")`)
	p.Point(`.mesh a[aria-label^="backup ("] .shape`, true)
	awaits(t, p, "pressed", `location.search.startsWith("?q=10.9.0.2") && document.querySelectorAll("#member-list tbody tr").length === 1 && document.activeElement.id === "members"`)
}
