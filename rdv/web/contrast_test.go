package web

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"campagnol/internal/testenv/chromium"
)

// contrastScript finds all text that can be seen, and what is behind it, and returns the
// least contrast that WCAG 2.1 (1.4.3) defines, with what text that is. Backgrounds of
// the page are opaque, or nothing.
const contrastScript = `(() => {
	const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
	const pixel = (color) => {
		context.clearRect(0, 0, 1, 1);
		context.fillStyle = color;
		context.fillRect(0, 0, 1, 1);
		return [...context.getImageData(0, 0, 1, 1).data];
	};
	const light = ([r, g, b]) => {
		const part = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
		return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
	};
	const contrast = (a, b) => {
		const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
		return (x + 0.05) / (y + 0.05);
	};
	const behind = (e) => {
		for (; e; e = e.parentElement) {
			const color = pixel(getComputedStyle(e).backgroundColor);
			if (color[3] === 255) return color;
			if (color[3] !== 0) return [127, 127, 127];
		}
		return [255, 255, 255];
	};
	const result = { least: 21, text: "", texts: 0 };
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walk.nextNode()) {
		const e = walk.currentNode.parentElement, style = getComputedStyle(e);
		if (!walk.currentNode.data.trim() || !e.checkVisibility({ visibilityProperty: true }) || e.closest("noscript, title, .hidden")) continue;
		let back = behind(e), color = style.color;
		if (e.closest("svg")) color = style.fill;
		if (e.closest(".badge")) back = pixel(getComputedStyle(e.parentElement.querySelector(".shape")).fill);
		const got = contrast(pixel(color), back);
		result.texts++;
		if (got < result.least) Object.assign(result, { least: got, text: e.outerHTML.slice(0, 200) + " " + color + " on " + back });
	}
	return result;
})()`

// TestContrast: all text can be read, in both themes (WCAG 2.1, 1.4.3), also that which
// is shown at times only.
func TestContrast(t *testing.T) {
	b := chromium.Start(t)
	for _, members := range []int{0, 14, 200} {
		server := httptest.NewServer(New(Config{Source: sample(t, members)}))
		t.Cleanup(server.Close)
		for _, dark := range []bool{false, true} {
			for _, width := range []int{360, 1280} {
				p := b.Open(chromium.View{Width: width, Height: 900, Dark: dark, Still: true})
				p.Go(server.URL + "/")
				p.Eval(`(() => {
					for (const e of document.querySelectorAll("details")) e.open = true;
					const style = new CSSStyleSheet();
					style.replaceSync(".tip { visibility: visible !important; }");
					document.adoptedStyleSheets = [style];
					connected(false, "The server does not answer.");
					return true;
				})()`, new(bool))
				var seen struct {
					Least float64
					Text  string
					Texts int
				}
				p.Eval(contrastScript, &seen)
				if seen.Least < 4.5 || seen.Texts < 40 {
					t.Errorf("%d members, %d wide, dark %v: of %d texts, one has a contrast of %.2f to 1, want 4.5: %s", members, width, dark, seen.Texts, seen.Least, seen.Text)
				}
			}
		}
	}
}

// TestContrastIsMeasured: the script finds text that cannot be read.
func TestContrastIsMeasured(t *testing.T) {
	b := chromium.Start(t)
	server := httptest.NewServer(New(Config{Source: sample(t, 3)}))
	t.Cleanup(server.Close)
	p := b.Open(chromium.View{Width: 1280, Height: 900})
	p.Go(server.URL + "/")
	for selector, color := range map[string]string{"footer": "rgb(150, 150, 150)", ".mesh .name": "rgb(250, 240, 250)", "td small": "rgb(160, 160, 200)"} {
		p.Eval(fmt.Sprintf(`(() => { const s = new CSSStyleSheet(); s.replaceSync("%s { color: %s !important; fill: %[2]s !important; }"); document.adoptedStyleSheets = [s]; return 1; })()`, selector, color), new(int))
		var seen struct {
			Least float64
			Text  string
		}
		p.Eval(contrastScript, &seen)
		if seen.Least >= 4.5 || !strings.Contains(seen.Text, color) {
			t.Errorf("%s in %s: the least contrast is %.2f, of %s", selector, color, seen.Least, seen.Text)
		}
	}
}
