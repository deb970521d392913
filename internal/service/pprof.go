package service

import (
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"time"

	"campagnol/internal/cli"
)

// profiles serves the profiles of net/http/pprof at a loopback address until
// stop is called. They show what a program has in memory, keys included: nobody
// else may reach them.
func profiles(addr string) (stop func(), err error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil || !ap.Addr().IsLoopback() {
		return nil, cli.WithHint(fmt.Errorf("--pprof %q is not a loopback address with a port", addr),
			"for example --pprof 127.0.0.1:6060")
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("--pprof: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(l) // until it is closed; nothing depends on it
	}()
	return func() {
		srv.Close()
		<-done
	}, nil
}
