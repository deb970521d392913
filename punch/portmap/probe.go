package portmap

import (
	"context"
	"net/netip"
	"sync"
)

// An Answer says whether a gateway speaks a protocol.
type Answer struct {
	Method   Method
	Speaks   bool
	External netip.Addr // the gateway's outer address, if it was told
	Reason   string     // why it does not speak the protocol, as far as known
}

// A Report is what [Probe] has found.
type Report struct {
	Way     Way // the zero Way: there is no gateway
	Answers []Answer
}

// Private reports whether the gateway has told an outer address that the Internet does
// not reach.
func (r Report) Private() bool {
	for _, a := range r.Answers {
		if a.External.IsValid() && isPrivate(a.External) {
			return true
		}
	}
	return false
}

// Probe finds the gateway for IPv4 and asks it which protocols it speaks, without any
// effect on it. ifname is an interface to which that is limited; "": none. It takes up to
// two seconds. An error says why no gateway is known.
func Probe(ctx context.Context, ifname string) (Report, error) {
	w, err := findWay(false, ifname, netip.Addr{})
	if err != nil {
		return Report{}, err
	}
	return Report{Way: w, Answers: probe(ctx, w)}, nil
}

// probe asks one gateway.
func probe(ctx context.Context, w Way) []Answer {
	var wg sync.WaitGroup
	methods := Methods()
	found := greet(ctx, methods, w, newNonce(), wg.Go)
	wg.Wait()
	answers := make([]Answer, len(methods))
	for range methods {
		i := <-found
		a := Answer{Method: i.method, Speaks: i.err == nil, External: i.pulse.external}
		if i.err != nil {
			a.Reason = i.err.Error()
		}
		answers[i.method-1] = a
	}
	return answers
}
