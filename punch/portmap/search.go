package portmap

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"
)

func newNonce() (n nonce) {
	rand.Read(n[:]) // never fails
	return n
}

// speakerFor returns what asks by a method.
func speakerFor(m Method, w Way, n nonce) speaker {
	switch m {
	case PCP:
		return &pcpSpeaker{way: w, nonce: n}
	case NATPMP:
		return pmpSpeaker{way: w}
	}
	return newUPnP(w)
}

// An introduction is whether the gateway speaks a protocol.
type introduction struct {
	method  Method
	speaker speaker
	pulse   pulse
	err     error
}

// greet asks the gateway by all methods at once whether it speaks them. run starts a
// goroutine for each; there is room for all answers in the channel.
func greet(ctx context.Context, methods []Method, w Way, n nonce, run func(func())) <-chan introduction {
	found := make(chan introduction, len(methods))
	for _, m := range methods {
		run(func() {
			ctx, cancel := context.WithTimeout(ctx, helloTime)
			defer cancel()
			i := introduction{method: m, speaker: speakerFor(m, w, n)}
			i.pulse, i.err = i.speaker.hello(ctx)
			found <- i
		})
	}
	return found
}

// methods returns by what a mapping may be asked for.
func (k *keeper) methods() []Method {
	if k.v6 {
		return []Method{PCP}
	}
	return k.m.cfg.Methods
}

// search finds a protocol by which the gateway forwards our port. What answers after
// that counts no more.
func (k *keeper) search(ctx context.Context) (Method, grant, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	methods := k.methods()
	found := greet(ctx, methods, k.lease.way, k.nonce, k.wg.Go)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	speakers := map[Method]speaker{}
	c := newChoice(methods)
	graceOver := false
	for !c.over() {
		for m := c.next(graceOver); m != 0; m = c.next(graceOver) {
			g, err := k.askFirst(ctx, speakers[m])
			if err == nil {
				return m, g, nil
			}
			k.log.Debug("The gateway does not forward our port", "method", m.String(), "err", err)
			c.failed(m, err)
		}
		if c.over() {
			break
		}
		select {
		case i := <-found:
			speakers[i.method] = i.speaker
			c.heard(i.method, i.err)
			if i.err != nil {
				k.log.Debug("The gateway does not answer", "method", i.method.String(), "err", i.err)
			}
		case <-timer.C:
			graceOver = true
		case <-ctx.Done():
			return 0, grant{}, ctx.Err()
		}
	}
	return 0, grant{}, c.err()
}

// askFirst asks for the mapping by a speaker, which is the keeper's from then on: if
// we end before there is an answer, the gateway may have done it.
func (k *keeper) askFirst(ctx context.Context, s speaker) (grant, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	k.speaker = s
	g, err := s.ask(ctx, k.lease.wish())
	if err == nil && k.v6 != g.external.Addr().Is6() {
		err = fmt.Errorf("the gateway gives %v, which is of another family", g.external)
	}
	return g, err
}
