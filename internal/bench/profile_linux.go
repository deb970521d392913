package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"campagnol/internal/lab"
)

// profileAddr is where each of Campagnol's daemons serves its profiles: both hosts
// have a loopback interface of their own.
const profileAddr = "127.0.0.1:6060"

// profilePatience is how long a daemon may take to hand over a profile, beyond the
// time that it is about.
const profilePatience = 10 * time.Second

// unprofiled are the steps in which the daemons have next to nothing to do.
var unprofiled = []string{stepCold, stepPing, stepRSS}

// profile has the daemons write down where they spend their time, from now on for
// as long as a transfer takes. The returned function waits until the profiles are
// in their files. Only Campagnol has them, and only if they are asked for.
func (s *session) profile(ctx context.Context, step string) (finish func() error) {
	if s.profiles == "" || s.name != toolOurs || slices.Contains(unprofiled, step) {
		return func() error { return nil }
	}
	hosts := []*lab.Host{s.tunnel.a.host, s.tunnel.b.host}
	errs := make([]error, len(hosts))
	var fetched sync.WaitGroup
	for i, h := range hosts {
		file := filepath.Join(s.profiles, fmt.Sprintf("%s-%s-%d-%s.pprof", s.path.id, step, s.round, h.Name()))
		fetched.Go(func() { errs[i] = fetchProfile(ctx, h, file, s.transfer+unlessShort(s, warmUp, shortWarmUp)) })
	}
	return func() error {
		fetched.Wait()
		return errors.Join(errs...)
	}
}

// fetchProfile asks the daemon on a host for a profile of some time, and writes it
// to a file.
func fetchProfile(ctx context.Context, h *lab.Host, file string, long time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, long+profilePatience)
	defer cancel()
	var dialer net.Dialer
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
		err = h.Do(func() (err error) {
			conn, err = dialer.DialContext(ctx, network, addr)
			return err
		})
		return conn, err
	}}
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%.0f", profileAddr, math.Ceil(long.Seconds()))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("bench: profile: %w", err)
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return fmt.Errorf("bench: profile of the daemon on %s: %w", h.Name(), err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("bench: profile of the daemon on %s: %w", h.Name(), err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("bench: profile of the daemon on %s: %s: %.200s", h.Name(), response.Status, b)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("bench: make a folder for profiles: %w", err)
	}
	return writeFile(file, b)
}
