package web

import (
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"campagnol/internal/testenv/chromium"
)

// TestLooks looks at pages about few and many members with a browser: in both themes, as
// wide as a phone and as a desk, with and without JavaScript. Nothing goes wrong, nothing
// is loaded from elsewhere, and nothing is wider than the screen.
func TestLooks(t *testing.T) {
	b := chromium.Start(t)
	for _, members := range []int{0, 3, 20, 60, 200, 1000} {
		server := httptest.NewServer(New(Config{Source: sample(t, members)}))
		t.Cleanup(server.Close)
		for _, v := range []chromium.View{
			{Width: 1280, Height: 900},
			{Width: 1280, Height: 900, Dark: true},
			{Width: 768, Height: 1024, Dark: members == 20},
			{Width: 360, Height: 740, Dark: members == 3},
			{Width: 320, Height: 640, NoScript: true},
		} {
			theme := map[bool]string{false: "light", true: "dark"}[v.Dark]
			name := fmt.Sprintf("rdv-%d-members-%d-%s", members, v.Width, theme)
			t.Run(name, func(t *testing.T) {
				p := b.Open(v)
				p.Go(server.URL + "/")
				p.Screenshot(name, os.Getenv(chromium.ArtifactsVariable) != "") // all of it takes its time
				checkPage(t, p, server.URL, v)
			})
		}
	}
}

// checkPage checks what holds for each page.
func checkPage(t *testing.T, p *chromium.Page, url string, v chromium.View) {
	t.Helper()
	if problems := p.Problems(); len(problems) > 0 {
		t.Errorf("the browser says\n%s", strings.Join(problems, "\n"))
	}
	for _, r := range p.Requests() {
		if !strings.HasPrefix(r, url+"/") {
			t.Errorf("it loads %s, which is not on the server", r)
		}
	}
	var seen struct {
		Width, Scroll int
		Back          string
		Buttons       int
		Unnamed       []string
	}
	p.Eval(`({
		width: innerWidth, scroll: document.documentElement.scrollWidth,
		back: getComputedStyle(document.body).backgroundColor,
		buttons: [...document.querySelectorAll("header button")].filter(b => !b.hidden).length,
		unnamed: [...document.querySelectorAll("a, button, input, select, section")]
			.filter(e => !(e.textContent.trim() || e.ariaLabel || e.labels?.length)).map(e => e.outerHTML),
	})`, &seen)
	if seen.Width != v.Width || seen.Scroll > v.Width {
		t.Errorf("the page is %d wide in a window of %d, want %d at most", seen.Scroll, seen.Width, v.Width)
	}
	if want := map[bool]string{false: "rgb(244, 246, 248)", true: "rgb(17, 22, 28)"}[v.Dark]; seen.Back != want {
		t.Errorf("the background is %s, want %s", seen.Back, want)
	}
	if want := map[bool]int{false: 2, true: 0}[v.NoScript]; seen.Buttons != want {
		t.Errorf("%d buttons are there, want %d", seen.Buttons, want)
	}
	if len(seen.Unnamed) > 0 {
		t.Errorf("without a name for those who hear the page: %s", seen.Unnamed)
	}
}
