package portmap

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	natpmp "github.com/jackpal/go-nat-pmp"
)

// A pmpSpeaker asks by NAT-PMP (RFC 6886).
type pmpSpeaker struct{ way Way }

func (s pmpSpeaker) hello(ctx context.Context) (pulse, error) {
	var p pulse
	err := s.call(ctx, func(c *natpmp.Client) error {
		r, err := c.GetExternalAddress()
		if err == nil {
			p = pulse{external: netip.AddrFrom4(r.ExternalIPAddress), epoch: r.SecondsSinceStartOfEpoc, counted: true}
		}
		return err
	})
	return p, err
}

func (s pmpSpeaker) ask(ctx context.Context, w wish) (g grant, err error) {
	// A mapping does not say of which address it is.
	p, err := s.hello(ctx)
	if err != nil {
		return g, err
	}
	err = s.call(ctx, func(c *natpmp.Client) error {
		r, err := c.AddPortMapping("udp", int(w.port), int(w.suggested()), int(w.lifetime/time.Second))
		if err != nil {
			return err
		}
		if r.InternalPort != w.port {
			return errForeign
		}
		p.epoch = r.SecondsSinceStartOfEpoc
		g = grant{
			external: netip.AddrPortFrom(p.external, r.MappedExternalPort),
			lifetime: time.Duration(r.PortMappingLifetimeInSeconds) * time.Second, pulse: p,
		}
		return nil
	})
	if err == nil && (!usable(g.external) || g.lifetime == 0) {
		err = fmt.Errorf("NAT-PMP: the gateway gives %v for %v, which is of no use", g.external, g.lifetime)
	}
	return g, err
}

func (s pmpSpeaker) check(ctx context.Context, _ netip.AddrPort) (pulse, error) { return s.hello(ctx) }

func (s pmpSpeaker) remove(ctx context.Context, w wish, _ netip.AddrPort) error {
	// RFC 6886 section 3.4: lifetime and outer port are 0.
	return s.call(ctx, func(c *natpmp.Client) error {
		_, err := c.AddPortMapping("udp", int(w.port), 0, 0)
		return err
	})
}

// call asks the gateway until ctx is done. The library repeats questions as RFC 6886
// section 3.1 wants, and hears nobody but the gateway; it knows no contexts, so that
// the end of ctx other than by time is noticed when its next wait ends.
func (s pmpSpeaker) call(ctx context.Context, f func(*natpmp.Client) error) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(askTime)
	}
	left := time.Until(deadline)
	if left <= 0 || ctx.Err() != nil {
		return fmt.Errorf("NAT-PMP: %w", errSilent)
	}
	err := f(natpmp.NewClientWithLocalAndTimeout(s.way.Gateway.AsSlice(), s.way.Local.AsSlice(), left))
	if err == nil || errors.Is(err, errForeign) {
		return err
	}
	return pmpError(err)
}

// pmpError returns an error of the library in our words: it has no types for them.
func pmpError(err error) error {
	var code int
	switch _, scanErr := fmt.Sscanf(err.Error(), "Non-zero result code %d", &code); {
	case scanErr == nil:
		return &Refusal{Method: NATPMP, Code: code, Text: pmpResult(code)}
	case isRefused(err), strings.HasPrefix(err.Error(), "Timed out"):
		err = errSilent
	}
	return fmt.Errorf("NAT-PMP: %w", err)
}

// pmpResult says what a result code of RFC 6886 section 3.5 means.
func pmpResult(code int) string {
	switch code {
	case 1:
		return "it does not speak this version of NAT-PMP"
	case 2:
		return "this host may not ask for that"
	case 3:
		return "its own network does not work"
	case 4:
		return "it has no room"
	case 5:
		return "it does not know this kind of request"
	}
	return "unknown reason"
}
