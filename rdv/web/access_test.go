package web

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"campagnol/internal/testenv/chromium"
)

// TestAccess: who hears the page, or has no mouse, finds everything: landmarks, headings,
// the headers of tables, names of all that can be used.
func TestAccess(t *testing.T) {
	b := chromium.Start(t)
	for _, members := range []int{0, 14, 200} {
		server := httptest.NewServer(New(Config{Source: sample(t, members)}))
		t.Cleanup(server.Close)
		for _, width := range []int{360, 1280} {
			p := b.Open(chromium.View{Width: width, Height: 900})
			p.Go(server.URL + "/")
			var wrong []string
			p.Eval(`(() => {
				const wrong = [], all = (s) => [...document.querySelectorAll(s)];
				const name = (e) => e.textContent.trim() || e.ariaLabel || e.labels?.length || e.getAttribute("aria-labelledby");
				for (const one of ["header", "main", "footer", "h1", "nav[aria-label]", "[role=search]"]) {
					if (all(one).length !== 1) wrong.push(all(one).length + " of " + one);
				}
				for (const e of all("a, button, input, select, section, summary, meter, svg[role], [role=region]")) if (!name(e)) wrong.push("no name: " + e.outerHTML);
				for (const e of all("section")) if (!document.getElementById(e.getAttribute("aria-labelledby"))?.matches("h2")) wrong.push("no heading: " + e.id);
				for (const e of all("th")) if (!["row", "col"].includes(e.scope)) wrong.push("no scope: " + e.outerHTML);
				for (const e of all("table")) if (!e.querySelector("thead th[scope=col]") || !e.querySelector("tbody th[scope=row]")) wrong.push("no headers: " + e.outerHTML.slice(0, 90));
				for (const e of all(".scroll")) if (e.scrollWidth > e.clientWidth && e.tabIndex < 0) wrong.push("cannot be scrolled with keys: " + e.outerHTML.slice(0, 90));
				for (const e of all("svg:not([role]):not([aria-hidden])")) wrong.push("a picture without words: " + e.outerHTML.slice(0, 90));
				for (const e of all("[role=status]")) if ((e.ariaLive ?? "polite") !== "polite") wrong.push("not polite: " + e.outerHTML);
				for (const e of all("[aria-live], [role=status], [role=alert]")) if (e.closest("[data-live]")) wrong.push("read aloud at every change: " + e.outerHTML);
				const ids = all("[id]").map(e => e.id);
				for (const id of ids) if (ids.filter(i => i === id).length > 1) wrong.push("twice: #" + id);
				for (const e of all("nav a, .skip, .tiles a")) { const to = e.hash.slice(1); if (!ids.includes(to)) wrong.push("leads nowhere: " + e.href); }
				if (document.documentElement.lang !== "en") wrong.push("no language");
				return wrong;
			})()`, &wrong)
			if len(wrong) > 0 {
				t.Errorf("%d members, %d wide:\n%s", members, width, strings.Join(wrong, "\n"))
			}
			var title string
			p.Eval("document.title", &title)
			if want := fmt.Sprintf("%d members – rendezvous server", members); title != want {
				t.Errorf("the title is %q, want %q", title, want)
			}
		}
	}
}

// TestKeyboard: with Tab one comes to everything that can be used, in the order of the
// page, sees where one is, and hears of a member in the mesh what a mouse shows.
func TestKeyboard(t *testing.T) {
	b := chromium.Start(t)
	server := httptest.NewServer(New(Config{Source: sample(t, 4)}))
	t.Cleanup(server.Close)
	p := b.Open(chromium.View{Width: 1280, Height: 900, Still: true})
	p.Go(server.URL + "/")
	p.Eval(`(document.getElementById("pause").click(), true)`, new(bool))
	var want int
	p.Eval(`[...document.querySelectorAll("a, button, input, select, summary, [tabindex='0']")].filter(e => e.checkVisibility()).length`, &want)
	var order []string
	for range 2 * want {
		p.Press("Tab")
		var at struct {
			Name, Tip   string
			Seen, First bool
		}
		p.Eval(`(() => {
			const e = document.activeElement, style = getComputedStyle(e), first = !window.been;
			if (e === document.body) return { first: false, name: "", seen: true };
			const again = window.been?.has(e);
			(window.been ??= new Set()).add(e);
			const tip = [...document.querySelectorAll(".tip")].filter(x => getComputedStyle(x).visibility === "visible").map(x => x.textContent).join("|");
			const mark = e.querySelector(".shape"), on = e.getBoundingClientRect();
			const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 || mark && parseFloat(getComputedStyle(mark).strokeWidth) >= 5;
			return { name: again ? "" : e.localName + " " + (e.ariaLabel || e.name || e.textContent.trim().slice(0, 30)), tip, first, seen: Boolean(ring) && on.right > 0 && on.bottom > 0 };
		})()`, &at)
		if at.Name == "" {
			break // round
		}
		if !at.Seen {
			t.Errorf("one cannot see that the focus is at %s", at.Name)
		}
		if mesh := strings.HasPrefix(at.Name, "a alice ("); mesh && !strings.Contains(at.Tip, "alice (10.9.0.1): port-restricted NAT") {
			t.Errorf("at %s the mesh says %q", at.Name, at.Tip)
		}
		order = append(order, at.Name)
	}
	if len(order) != want {
		t.Errorf("with Tab one comes to %d places, want %d:\n%s", len(order), want, strings.Join(order, "\n"))
	}
	if len(order) > 0 && order[0] != "a To the members" {
		t.Errorf("the first place is %q, want the link to the members", order[0])
	}
}

// TestStill: for who wants nothing to move, nothing does.
func TestStill(t *testing.T) {
	b := chromium.Start(t)
	server := httptest.NewServer(New(Config{Source: sample(t, 8)}))
	t.Cleanup(server.Close)
	for _, still := range []bool{true, false} {
		p := b.Open(chromium.View{Width: 1280, Height: 900, Still: still})
		p.Go(server.URL + "/")
		var moving int
		p.Eval(`[document.documentElement, ...document.querySelectorAll("body *")].filter(e => {
			const s = getComputedStyle(e);
			return s.scrollBehavior === "smooth" || s.transitionDuration.split(",").some(d => parseFloat(d) > 0) || s.animationName !== "none";
		}).length`, &moving)
		if still == (moving > 0) {
			t.Errorf("still %v: %d parts move", still, moving)
		}
	}
}

// TestWithoutScript: the page is whole without JavaScript: the list, the search, the
// drawing and its words; and it loads itself again.
func TestWithoutScript(t *testing.T) {
	b := chromium.Start(t)
	server := httptest.NewServer(New(Config{Source: sample(t, 120)}))
	t.Cleanup(server.Close)
	p := b.Open(chromium.View{Width: 1280, Height: 900, NoScript: true})
	p.Go(server.URL + "/?q=alice&sort=name&dir=desc&only=channel")
	var seen struct {
		Rows                 int
		First, Sorted, Value string
		Cells                int
		Again                string
		Buttons              int
	}
	p.Eval(`({
		rows: document.querySelectorAll("#member-list tbody tr").length, first: document.querySelector("#member-list tbody .name").firstChild.data,
		sorted: document.querySelector("[aria-sort=descending]").innerText, value: document.querySelector("[type=search]").value,
		cells: document.querySelectorAll(".density rect").length, again: document.querySelector("noscript meta[http-equiv=refresh]")?.content ?? "",
		buttons: [...document.querySelectorAll("header button")].filter(e => e.checkVisibility()).length,
	})`, &seen)
	if seen.Rows != 16 || seen.First != "alice-96" || !strings.HasPrefix(seen.Sorted, "Name") || seen.Value != "alice" || seen.Cells < 20 || seen.Again != "10" || seen.Buttons != 0 {
		t.Errorf("%+v", seen)
	}
}
