package metrics

import (
	"fmt"
	"net/http"
	"net/netip"

	"campagnol/internal/cli"
	"campagnol/internal/httpd"
)

// ParseAddr reads an address and a port.
func ParseAddr(text string) (netip.AddrPort, error) {
	a, err := netip.ParseAddrPort(text)
	if err != nil || a.Port() == 0 {
		return netip.AddrPort{}, cli.WithHint(fmt.Errorf("%q is not an address with a port", text),
			"for example 127.0.0.1:%d, which this host alone reaches, or [::]:%[1]d for everybody", examplePort)
	}
	return a, nil
}

// examplePort is a port that is used in examples: nothing known is there.
const examplePort = 9469

// Public reports whether others than this host may reach an address.
func Public(a netip.AddrPort) bool { return !a.Addr().Unmap().IsLoopback() }

// PublicWarning is what programs say when [Public] holds, with a hint.
func PublicWarning(a netip.AddrPort) (msg, hint string) {
	return fmt.Sprintf("metrics: whoever reaches %v can read the metrics of this program: there is no password, and nothing is encrypted", a),
		"let the firewall pass nobody but Prometheus, or listen at a loopback address or an address inside the VPN"
}

// Listen opens a socket for an [Exporter]. Who connects waits until Serve is called.
func (e *Exporter) Listen(addr netip.AddrPort) (*httpd.Server, error) {
	mux := http.NewServeMux()
	for pattern, h := range e.Routes() {
		mux.Handle(pattern, h)
	}
	s, err := httpd.Listen(httpd.Config{Addr: addr, Handler: plain(mux), Log: e.cfg.Log})
	if err != nil {
		return nil, cli.WithHint(fmt.Errorf("metrics: %w", err), "choose an address of this host, and a port that no other program has")
	}
	return s, nil
}

// plain refuses requests that nobody needs to send.
func plain(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodGet:
			w.Header().Set("Allow", http.MethodGet)
			w.Header().Set("Connection", "close")
			tell(w, http.StatusMethodNotAllowed, "there is nothing here but to GET")
		case r.ContentLength != 0:
			w.Header().Set("Connection", "close")
			tell(w, http.StatusRequestEntityTooLarge, "a request needs no content")
		default:
			next.ServeHTTP(w, r)
		}
	})
}
