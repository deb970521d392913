// Package chromium lets tests look at pages with a real browser, Debian's chromium, over
// its debugging protocol: what a page says of itself, what it loads, what goes wrong in
// it, and how it looks.
//
//	Start ──▶ Browser.Open ──▶ Page.Go, Page.Eval, Page.Await, Page.Press, Page.Screenshot
package chromium

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"campagnol/internal/testenv"
)

// ArtifactsVariable names the folder in which screenshots are kept.
const ArtifactsVariable = "CAMPAGNOL_ARTIFACTS"

// patience is how long a test waits for what the browser does at once, on a machine that
// has other things to do.
const patience = 90 * time.Second

// A Browser is one that runs until the test ends. It is for one goroutine.
type Browser struct {
	t    testing.TB
	to   *os.File
	next int

	mu      sync.Mutex
	arrived *sync.Cond
	answers map[int]message
	events  map[string][]message // by session
	ended   bool
}

// A message is one of the protocol.
type message struct {
	ID        int             `json:"id,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    json.RawMessage `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// Start starts the browser. Without it the test is skipped, or fails in CI.
func Start(t testing.TB) *Browser {
	t.Helper()
	path := testenv.Tool(t, "chromium", "chromium")
	fromUs, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, toUs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	profile, err := os.MkdirTemp("", "chromium-")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run", "--hide-scrollbars",
		"--ignore-certificate-errors", "--remote-debugging-pipe", "--user-data-dir="+profile, "about:blank")
	cmd.ExtraFiles = []*os.File{fromUs, toUs} // 3 and 4
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		stop()
		t.Fatal(err)
	}
	fromUs.Close()
	toUs.Close()
	b := &Browser{t: t, to: to, answers: map[int]message{}, events: map[string][]message{}}
	b.arrived = sync.NewCond(&b.mu)
	read := make(chan struct{})
	go func() {
		defer close(read)
		b.read(from)
	}()
	t.Cleanup(func() {
		_, _ = to.Write([]byte(`{"id":1000000,"method":"Browser.close"}` + "\x00")) // its helpers end with it
		select {
		case <-read:
		case <-time.After(10 * time.Second):
		}
		stop()
		_ = cmd.Wait()
		to.Close()
		from.Close()
		<-read
		os.RemoveAll(profile)
	})
	return b
}

// read takes what the browser says until it ends.
func (b *Browser) read(from *os.File) {
	r := bufio.NewReader(from)
	for {
		text, err := r.ReadBytes(0)
		var m message
		if err == nil {
			err = json.Unmarshal(bytes.TrimSuffix(text, []byte{0}), &m)
		}
		b.mu.Lock()
		switch {
		case err != nil:
			b.ended = true
		case m.ID != 0:
			b.answers[m.ID] = m
		default:
			b.events[m.SessionID] = append(b.events[m.SessionID], m)
		}
		b.mu.Unlock()
		b.arrived.Broadcast()
		if err != nil {
			return
		}
	}
}

// await waits until found, which is called with mu held, returns true.
func (b *Browser) await(what string, found func() bool) {
	b.t.Helper()
	timeout := time.AfterFunc(patience, b.arrived.Broadcast)
	defer timeout.Stop()
	until := time.Now().Add(patience)
	b.mu.Lock()
	defer b.mu.Unlock()
	for !found() {
		if b.ended {
			b.t.Fatalf("the browser has ended; waited for %s", what)
		}
		if !time.Now().Before(until) {
			b.t.Fatalf("nothing came within %v: %s", patience, what)
		}
		b.arrived.Wait()
	}
}

// call has the browser do something, and returns its answer.
func (b *Browser) call(session, method string, params any, result any) {
	b.t.Helper()
	raw, err := json.Marshal(params)
	if err != nil {
		b.t.Fatal(err)
	}
	b.next++
	id := b.next
	text, err := json.Marshal(message{ID: id, SessionID: session, Method: method, Params: raw})
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.to.Write(append(text, 0)); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	var m message
	b.await(method, func() (ok bool) {
		m, ok = b.answers[id]
		delete(b.answers, id)
		return ok
	})
	if m.Error != nil {
		b.t.Fatalf("%s: %s", method, m.Error.Message)
	}
	if result != nil {
		if err := json.Unmarshal(m.Result, result); err != nil {
			b.t.Fatalf("%s: %v", method, err)
		}
	}
}

type object = map[string]any

// A View is how a page is looked at.
type View struct {
	Width, Height int
	Dark          bool
	Still         bool // nothing is to move (prefers-reduced-motion)
	NoScript      bool
	Authorization string // header; "": none
}

// A Page is a tab.
type Page struct {
	b       *Browser
	session string
}

// Open opens a tab.
func (b *Browser) Open(v View) *Page {
	b.t.Helper()
	var target struct{ TargetID string }
	b.call("", "Target.createTarget", object{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("", "Target.attachToTarget", object{"targetId": target.TargetID, "flatten": true}, &attached)
	p := &Page{b, attached.SessionID}
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		b.call(p.session, domain+".enable", object{}, nil)
	}
	b.call(p.session, "Emulation.setDeviceMetricsOverride",
		object{"width": v.Width, "height": v.Height, "deviceScaleFactor": 1, "mobile": v.Width < 500}, nil)
	scheme := map[bool]string{false: "light", true: "dark"}[v.Dark]
	motion := map[bool]string{false: "no-preference", true: "reduce"}[v.Still]
	b.call(p.session, "Emulation.setEmulatedMedia",
		object{"features": []object{{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": motion}}}, nil)
	b.call(p.session, "Emulation.setScriptExecutionDisabled", object{"value": v.NoScript}, nil)
	if v.Authorization != "" {
		b.call(p.session, "Network.setExtraHTTPHeaders", object{"headers": object{"Authorization": v.Authorization}}, nil)
	}
	return p
}

// Go loads a page, and waits until it is there with all that it loads.
func (p *Page) Go(url string) {
	p.b.t.Helper()
	loaded := len(p.said("Page.loadEventFired"))
	p.b.call(p.session, "Page.navigate", object{"url": url}, nil)
	p.b.await("the page is loaded", func() bool { return len(p.saidLocked("Page.loadEventFired")) > loaded })
}

// said returns the parameters of all events of a kind so far.
func (p *Page) said(method string) []json.RawMessage {
	p.b.mu.Lock()
	defer p.b.mu.Unlock()
	return p.saidLocked(method)
}

func (p *Page) saidLocked(method string) (list []json.RawMessage) {
	for _, m := range p.b.events[p.session] {
		if m.Method == method {
			list = append(list, m.Params)
		}
	}
	return list
}

// Requests returns the addresses of all that was loaded.
func (p *Page) Requests() (urls []string) {
	for _, raw := range p.said("Network.requestWillBeSent") {
		var r struct{ Request struct{ URL string } }
		if err := json.Unmarshal(raw, &r); err != nil {
			p.b.t.Fatal(err)
		}
		urls = append(urls, r.Request.URL)
	}
	return urls
}

// Problems returns what the browser's console has said: errors, warnings, refusals by
// the policy of the page.
func (p *Page) Problems() (texts []string) {
	for _, method := range []string{"Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"} {
		for _, raw := range p.said(method) {
			texts = append(texts, method+" "+string(raw))
		}
	}
	return texts
}

// Eval returns in result what an expression of JavaScript is.
func (p *Page) Eval(expression string, result any) {
	p.b.t.Helper()
	var answer struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	p.b.call(p.session, "Runtime.evaluate", object{"expression": expression, "returnByValue": true, "awaitPromise": true}, &answer)
	if answer.ExceptionDetails != nil {
		p.b.t.Fatalf("%s: %s", expression, answer.ExceptionDetails)
	}
	if err := json.Unmarshal(answer.Result.Value, result); err != nil {
		p.b.t.Fatalf("%s: %v", expression, err)
	}
}

// Screenshot keeps how what is in view looks, or the whole page, in the folder for artifacts or the test's
// own, and returns its path.
func (p *Page) Screenshot(name string, whole bool) string {
	p.b.t.Helper()
	how := object{"format": "png"}
	if whole {
		var size [2]int
		p.Eval("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]", &size)
		how["captureBeyondViewport"] = true
		how["clip"] = object{"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1}
	}
	var shot struct{ Data string }
	p.b.call(p.session, "Page.captureScreenshot", how, &shot)
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		p.b.t.Fatal(err)
	}
	dir := os.Getenv(ArtifactsVariable)
	if dir == "" {
		dir = p.b.t.TempDir()
	} else if err := os.MkdirAll(dir, 0o755); err != nil {
		p.b.t.Fatal(err)
	}
	path := filepath.Join(dir, name+".png")
	if err := os.WriteFile(path, png, 0o644); err != nil {
		p.b.t.Fatal(err)
	}
	p.b.t.Logf("screenshot %s, %d bytes", path, len(png))
	return path
}
