package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"campagnol/internal/audit"
)

// What somebody may ask of us.
const (
	maxConns    = 16       // at a time; more wait in the socket's backlog
	maxHeader   = 8 << 10  // bytes
	maxBody     = 64 << 10 // bytes
	headTime    = 5 * time.Second
	requestTime = 10 * time.Second // to read the whole request
	answerTime  = 30 * time.Second // from its header to the last byte of the answer
	idleTime    = 10 * time.Second // between two requests of a connection
	graceTime   = time.Second      // for answers that are due when the server ends
)

// A Handler answers a request with a document, which is sent as JSON. If its
// error is an [*Error], that is sent, with its status; any other error is one of
// ours. The context of the request ends when the server does, or the asker is
// gone. Handlers are called at the same time.
type Handler func(r *http.Request) (document any, err error)

// Config says how to make a Server.
type Config struct {
	// Path is the name of the socket. Its folder is made if need be; that of
	// its folder is not.
	Path string

	// Group is the name or number of a group that may ask; empty: none.
	Group string

	// Program is what the header "Server" names: name, slash, version.
	Program string

	// Routes are what can be asked, by "METHOD /path", in the syntax of
	// [http.ServeMux].
	Routes map[string]Handler

	// Pages are what else can be asked, likewise, by what answers it in another
	// form than JSON.
	Pages map[string]http.Handler
	// Owner is whose socket it is, for errors; nil: a client's.
	Owner *Owner

	// Commanded is told of requests that change something, once they are answered; nil:
	// nobody wants to know. It is called by several goroutines at a time.
	Commanded func(Command)

	Log *slog.Logger // nil: none
}

// A Server is a control socket. Listen makes it; Serve or Close ends it.
type Server struct {
	cfg   Config
	place *place
	gid   atomic.Int64 // of the group; -1: none
	mux   *http.ServeMux
	conns sync.WaitGroup // the connections, with their handlers
}

// Listen makes the socket. Who connects waits until Serve is called. A socket
// that a killed process has left is replaced; if somebody listens on it, the
// error is an [*InUseError].
func Listen(cfg Config) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Owner == nil {
		cfg.Owner = OfClient
	}
	gid, err := lookupGroup(cfg.Group)
	if err != nil {
		return nil, cfg.Owner.rewordAny(err)
	}
	s := &Server{cfg: cfg, mux: http.NewServeMux()}
	s.gid.Store(int64(gid))
	for pattern, h := range cfg.Routes {
		s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, h) })
	}
	for pattern, h := range cfg.Pages {
		s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Server", s.cfg.Program)
			h.ServeHTTP(w, r)
		})
	}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, unknown) })
	if s.place, err = occupy(cfg.Path, gid); err != nil {
		return nil, cfg.Owner.rewordAny(err)
	}
	return s, nil
}

// unknown answers what we have no route for.
func unknown(r *http.Request) (any, error) {
	return nil, &Error{Status: http.StatusNotFound,
		Text:   "there is no request " + r.Method + " " + r.URL.Path,
		Advice: "docs/control.md lists the requests; a newer version may have more"}
}

// Serve answers requests until ctx is done. It removes the socket, and returns
// when everything that it has started has ended. It returns nil if ctx ended it.
func (s *Server) Serve(ctx context.Context) error {
	server := &http.Server{
		Handler:           http.HandlerFunc(s.admit),
		ReadHeaderTimeout: headTime,
		ReadTimeout:       requestTime,
		WriteTimeout:      answerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       s.identify,
		ConnState:         s.count,
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		s.place.leave() // before it is deaf, so that nobody takes it for a leftover
		// A request may be why we end: it gets its answer.
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceTime)
		defer cancel()
		_ = server.Shutdown(grace) // Close ends what is left
		server.Close()
	})
	err := server.Serve(newLimited(s.place.listener))
	if stop() { // it has failed by itself
		s.place.leave()
		server.Close()
	} else {
		<-ended
	}
	s.conns.Wait()
	if ctx.Err() != nil || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// SetGroup gives another group access instead of the one that had it; the empty
// name is no group. Connections that are open stay as they are. After an error
// the old group has access.
func (s *Server) SetGroup(name string) error {
	gid, err := lookupGroup(name)
	if err != nil {
		return err
	}
	if err := s.place.share(gid); err != nil {
		return explain(err)
	}
	s.gid.Store(int64(gid))
	return nil
}

// Close removes the socket of a Server that does not Serve.
func (s *Server) Close() { s.place.leave() }

// Path returns the name of the socket.
func (s *Server) Path() string { return s.cfg.Path }

// count knows which connections there are. A connection is new before Serve of
// the HTTP server can return, and closed when its handler has returned.
func (s *Server) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.conns.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.conns.Done()
	}
}

// refusalKey is the key of the error with which a connection is refused.
type refusalKey struct{}

// identify notes with a connection whether it is refused.
func (s *Server) identify(ctx context.Context, conn net.Conn) context.Context {
	who, err := credentialOf(conn)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return ctx // the permissions of the socket have to do
	case err == nil:
		ctx = context.WithValue(ctx, callerKey{}, who)
		err = admits(who, int(s.gid.Load()))
	}
	if err == nil {
		return ctx
	}
	s.cfg.Log.InfoContext(audit.Mark(ctx, refusedCaller(who, err)), "Somebody may not use the control socket", "err", err)
	return context.WithValue(ctx, refusalKey{}, err)
}

// admit lets those in who may ask, with a request of reasonable size.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) {
	if err, refused := r.Context().Value(refusalKey{}).(error); refused {
		s.answer(w, r, func(*http.Request) (any, error) {
			return nil, &Error{Status: http.StatusForbidden, Text: err.Error(), Advice: s.cfg.Owner.words.Replace(whoMay(s.cfg.Path))}
		})
		return
	}
	if r.ContentLength > maxBody {
		s.answer(w, r, func(*http.Request) (any, error) { return nil, errTooLarge })
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	s.mux.ServeHTTP(w, r)
}

// errTooLarge is for a request that nobody needs to send.
var errTooLarge = &Error{Status: http.StatusRequestEntityTooLarge, Text: "the request is larger than 64 KiB"}

// answer sends what h returns.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, h Handler) {
	document, err := h(r)
	s.tellCommand(r, err)
	status := http.StatusOK
	if err != nil {
		document, status = refusal(err)
	}
	var body bytes.Buffer
	if err := json.NewEncoder(&body).Encode(document); err != nil {
		s.cfg.Log.Error("The control socket cannot answer", "request", r.URL.Path, "err", err)
		body.Reset()
		body.WriteString(`{"error":"the answer cannot be written as JSON"}` + "\n")
		status = http.StatusInternalServerError
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(body.Len())) // who asks makes room for it at once
	header.Set("Server", s.cfg.Program)
	if status != http.StatusOK {
		header.Set("Connection", "close")
	}
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // who is gone needs no answer
}

// refusal returns the document for an error, and its status.
func refusal(err error) (any, int) {
	var e *Error
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		e = errTooLarge
	case !errors.As(err, &e):
		e = &Error{Status: http.StatusInternalServerError, Text: err.Error()}
	}
	return e, e.Status
}
