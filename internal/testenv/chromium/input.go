package chromium

import (
	"encoding/json"
	"strconv"
)

// Await waits until an expression of JavaScript is true, and reports whether it was
// before the test's patience ended.
func (p *Page) Await(expression string) (yes bool) {
	p.b.t.Helper()
	p.Eval(`new Promise(done => {
		const until = Date.now() + `+strconv.FormatInt(patience.Milliseconds()*2/3, 10)+`;
		(function look() {
			const yes = Boolean(`+expression+`);
			if (yes || Date.now() > until) done(yes); else setTimeout(look, 25);
		})();
	})`, &yes)
	return yes
}

// Front makes the tab the one that is seen. The others are hidden, which pages know.
func (p *Page) Front() {
	p.b.t.Helper()
	p.b.call(p.session, "Page.bringToFront", object{}, nil)
}

// keyCodes are the keys that are pressed by their names.
var keyCodes = map[string]int{"Tab": 9, "Enter": 13, "Escape": 27}

// Press presses a key that has no letter, such as Tab, as somebody at the keyboard does.
func (p *Page) Press(key string) {
	p.b.t.Helper()
	code, ok := keyCodes[key]
	if !ok {
		p.b.t.Fatalf("there is no key %q", key)
	}
	event := object{"key": key, "code": key, "windowsVirtualKeyCode": code, "nativeVirtualKeyCode": code, "type": "keyDown"}
	if key == "Enter" {
		event["text"] = "\r"
	}
	p.b.call(p.session, "Input.dispatchKeyEvent", event, nil)
	event["type"] = "keyUp"
	delete(event, "text")
	p.b.call(p.session, "Input.dispatchKeyEvent", event, nil)
}

// Type types text where the focus is.
func (p *Page) Type(text string) {
	p.b.t.Helper()
	p.b.call(p.session, "Input.insertText", object{"text": text}, nil)
}

// Point moves the pointer to the middle of what a selector of CSS finds, and presses the
// button there if it is to.
func (p *Page) Point(selector string, press bool) {
	p.b.t.Helper()
	quoted, err := json.Marshal(selector)
	if err != nil {
		p.b.t.Fatal(err)
	}
	var at [2]float64
	p.Eval(`(e => { e.scrollIntoView({ block: "center", behavior: "instant" }); const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })(document.querySelector(`+string(quoted)+`))`, &at)
	event := object{"type": "mouseMoved", "x": at[0], "y": at[1]}
	p.b.call(p.session, "Input.dispatchMouseEvent", event, nil)
	if !press {
		return
	}
	for _, kind := range []string{"mousePressed", "mouseReleased"} {
		event = object{"type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1}
		p.b.call(p.session, "Input.dispatchMouseEvent", event, nil)
	}
}
