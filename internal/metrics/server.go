package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"campagnol/internal/cli"

	"golang.org/x/net/netutil"
)

// What somebody may ask of us over the network.
const (
	maxConns    = 16      // at a time; more wait
	maxHeader   = 8 << 10 // bytes
	headTime    = 5 * time.Second
	requestTime = 5 * time.Second  // to read the whole request
	answerTime  = 20 * time.Second // from its header to the last byte of the answer
	idleTime    = 10 * time.Second // between two requests of a connection
)

// A Server answers over TCP. [Exporter.Listen] makes it; Serve or Close ends it.
type Server struct {
	addr     netip.AddrPort
	listener net.Listener
	http     *http.Server
}

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
func (e *Exporter) Listen(addr netip.AddrPort) (*Server, error) {
	l, err := net.Listen("tcp", addr.String())
	if err != nil {
		return nil, cli.WithHint(fmt.Errorf("metrics: %w", err), "choose an address of this host, and a port that no other program has")
	}
	mux := http.NewServeMux()
	for pattern, h := range e.Routes() {
		mux.Handle(pattern, h)
	}
	return &Server{addr: addr, listener: netutil.LimitListener(l, maxConns), http: &http.Server{
		Handler:           plain(mux),
		ReadHeaderTimeout: headTime,
		ReadTimeout:       requestTime,
		WriteTimeout:      answerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(e.cfg.Log.Handler(), slog.LevelDebug),
	}}, nil
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

// Addr returns where s listens.
func (s *Server) Addr() netip.AddrPort { return s.listener.Addr().(*net.TCPAddr).AddrPort() }

// Asked returns the address that s was to listen at.
func (s *Server) Asked() netip.AddrPort { return s.addr }

// Serve answers until ctx is done, when it closes all connections and returns nil. What
// an answer is made of may still be gathered then, for a moment.
func (s *Server) Serve(ctx context.Context) error {
	s.http.BaseContext = func(net.Listener) context.Context { return ctx }
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		s.http.Close()
	})
	err := s.http.Serve(s.listener)
	if stop() { // it has failed by itself
		s.http.Close()
	} else {
		<-ended
	}
	if ctx.Err() != nil || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("metrics: %w", err)
}

// Close closes the socket of a Server that does not Serve.
func (s *Server) Close() { s.listener.Close() }
