// Package web is the page about a rendezvous server: who is registered, who finds whom
// directly, and what was refused.
//
//	Source ──Overview──▶ page (numbers and words) ──template──▶ HTML, with SVG in it
//	                       ├── kind.go     what there is between two members
//	                       ├── mesh.go     that, drawn by the places of layout.go
//	                       ├── density.go  or, of many members, as a table of shades
//	                       ├── matrix.go   which NATs find which; pairs.go: which members
//	                       └── members.go  the list, a page of it, by query.go
//
// What the server has seen and what NATs let expect are told apart everywhere: that two
// members were introduced, that it relays for them or was not let introduce them, it
// knows. How they talk otherwise, and whether, it does not.
//
// The page is whole without JavaScript. With it, a script asks for it again every few
// seconds and takes over what has changed. It loads nothing from elsewhere.
//
// # Who may see it
//
// It only answers GET, and shows what the server knows; nothing can be changed. Without
// a password it is for a loopback address, and answers only who asks for one by name: a
// foreign web page, whose name somebody has made that of a loopback address, asks under
// its own (DNS rebinding).
package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"embed"
	"html/template"
	"net"
	"net/http"
	"net/netip"
	"time"

	"campagnol/rdv"
)

// A Source tells what there is to see. It is safe for concurrent use; what it returns is
// not changed.
type Source interface {
	Overview(ctx context.Context) (*rdv.Overview, error)
	History() *rdv.History
}

// Config configures a page.
type Config struct {
	Source Source

	// User and Password are whom to show it; empty: whoever asks by a loopback address.
	User, Password string

	Now func() time.Time // nil: time.Now
}

//go:embed static
var files embed.FS

//go:embed page.html parts.html
var templates embed.FS

var pageTemplate = template.Must(template.ParseFS(templates, "*.html"))

// A handler answers requests.
type handler struct {
	cfg   Config
	mux   *http.ServeMux
	guard guard
	where layout
}

// New returns what shows the page.
func New(cfg Config) http.Handler {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	h := &handler{cfg: cfg, mux: http.NewServeMux()}
	h.mux.HandleFunc("GET /{$}", h.page)
	for name, kind := range map[string]string{
		"style.css": "text/css; charset=utf-8", "script.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml",
	} {
		content, err := files.ReadFile("static/" + name)
		if err != nil {
			panic(err) // they are in the program
		}
		h.mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			_, _ = w.Write(content)
		})
	}
	return h
}

// policy lets the page load what is its own, and nothing else.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// ServeHTTP answers who may ask.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Content-Security-Policy", policy)
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("X-Frame-Options", "DENY")
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("Cross-Origin-Opener-Policy", "same-origin")
	head.Set("Cross-Origin-Resource-Policy", "same-origin")
	head.Set("Cache-Control", "no-store")
	switch {
	case r.Method != http.MethodGet:
		head.Set("Allow", http.MethodGet)
		http.Error(w, "this page can only be looked at (GET)", http.StatusMethodNotAllowed)
	case h.cfg.Password == "" && !isLoopbackName(r.Host):
		http.Error(w, "ask for this page by a loopback address, such as http://127.0.0.1:8080/, or give the server a --web-password-file", http.StatusForbidden)
	case h.cfg.Password != "" && !h.authenticated(w, r):
	default:
		h.mux.ServeHTTP(w, r)
	}
}

// isLoopbackName reports whether a browser asks for a loopback address, and not for a
// name that anybody can have lead there.
func isLoopbackName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if len(host) > 2 && host[0] == '[' {
		host = host[1 : len(host)-1]
	}
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// authenticated reports whether the request has user and password, and answers it if
// not.
func (h *handler) authenticated(w http.ResponseWriter, r *http.Request) bool {
	now := h.cfg.Now()
	from := remote(r)
	if h.guard.blocked(now, from) {
		w.Header().Set("Retry-After", "10")
		http.Error(w, "too many wrong passwords; wait a moment", http.StatusTooManyRequests)
		return false
	}
	user, password, given := r.BasicAuth()
	if given && same(user, h.cfg.User)&same(password, h.cfg.Password) == 1 {
		return true
	}
	if given {
		h.guard.failed(now, from)
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="campagnol_rdv", charset="UTF-8"`)
	http.Error(w, "this page needs a user and a password", http.StatusUnauthorized)
	return false
}

// same returns 1 if two texts are the same, in a time that does not tell how alike they
// are.
func same(a, b string) int {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:])
}

// remote returns where a request comes from.
func remote(r *http.Request) netip.Addr {
	at, _ := netip.ParseAddrPort(r.RemoteAddr)
	return at.Addr().Unmap()
}

// page shows the page.
func (h *handler) page(w http.ResponseWriter, r *http.Request) {
	o, err := h.cfg.Source.Overview(r.Context())
	if err != nil {
		http.Error(w, "the server is being stopped", http.StatusServiceUnavailable)
		return
	}
	events, _ := h.cfg.Source.History().After(0, shownEvents)
	var b bytes.Buffer
	if err := pageTemplate.ExecuteTemplate(&b, "page.html", newPage(o, events, askedFor(r.URL.Query()), &h.where)); err != nil {
		http.Error(w, "the page cannot be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes())
}
