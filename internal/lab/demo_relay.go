package lab

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// How long the demonstration waits for a direct path that follows a relayed one: where
// theory has one, and where it does not.
const (
	directPatience = 10 * time.Second
	staysPatience  = 3 * time.Second
)

// msgMoved is what a client logs whose session goes another way from then on.
const msgMoved = "The path to the peer has changed"

// attrRelay is the attribute with the relay of a path; direct ones have none.
const attrRelay = "relay"

// checkRelay fills in the defaults of a demonstration with a relay and refuses what
// cannot be.
func (o *DemoOptions) checkRelay() error {
	if !o.Relay {
		return nil
	}
	if o.RDVMode == "" {
		o.RDVMode = "strict"
	}
	switch {
	case o.Mode == modeTAP:
		return errors.New("lab: what a relay does is shown with IP packets: take mode tun")
	case !o.authenticates():
		return errors.New("lab: a rendezvous server relays for members with a certificate alone, and needs one itself: use mixed or strict")
	}
	return nil
}

// showRelay shows by which paths peers reach each other when the RDV is a relay.
func (d *demo) showRelay(ctx context.Context) error {
	all, _ := pairs(d.plan, func(Kind, Kind) bool { return true })
	relays := make([]string, len(all)) // by which the pairs go in the end; "": directly
	for i, p := range all {
		var err error
		if relays[i], err = d.reach(ctx, p); err != nil {
			return err
		}
	}
	return d.carry(ctx, all[0], relays[0])
}

// reach sends the first packets between two peers, and says by which path they go, at
// first and in the end. It returns the relay, "" for none.
func (d *demo) reach(ctx context.Context, p pair) (relay string, err error) {
	a, b := nameOf(p.a), nameOf(p.b)
	r, err := d.world.Ping(ctx, p.a, p.b, firstPings)
	if err == nil && r.Received() < len(r.RTT) {
		err = fmt.Errorf("%s pings %s (%v, %v): %v; not one was to be lost, the first included", a, b, d.plan[p.a], d.plan[p.b], r)
	}
	if err != nil {
		return "", d.fail("connect", err, p.a, p.b, theServer)
	}
	opened, err := d.await(ctx, logPatience, p.a, r.Start, Pattern{msgOpened, vpnAddr(p.b).String()})
	if err != nil {
		return "", d.fail("connect", err, p.a, p.b, theServer)
	}
	relay = opened.Attr(attrRelay)
	d.report("connect", true, map[string]any{
		"from": a, "to": b, "reply_ms": inMilliseconds(r.First()), "path": pathName(relay), "relay": relay, "sent": len(r.RTT), "received": r.Received(),
	}, "%s → %s: the first packet had its answer after %v, %s", a, b, short(r.First()), byRelay(relay))
	if relay == "" {
		return "", nil
	}
	return d.settle(ctx, p, relay, r.Start, opened.Time)
}

// settle waits for a direct path in place of a relay.
func (d *demo) settle(ctx context.Context, p pair, relay string, began, opened time.Time) (string, error) {
	a, b := nameOf(p.a), nameOf(p.b)
	patience := staysPatience
	if d.o.direct(d.plan[p.a], d.plan[p.b]) {
		patience = directPatience
	}
	stop := d.keepUsed(ctx, p, patience)
	moved, err := d.awaitDirect(ctx, patience, p, opened)
	answers, failed := stop()
	switch {
	case ctx.Err() != nil:
		return "", d.fail("path", context.Cause(ctx), p.a, p.b, theServer)
	case failed != nil:
		return "", d.fail("path", failed, p.a, p.b, theServer)
	case answers.Received() < len(answers.RTT):
		return "", d.fail("path", fmt.Errorf("%s pings %s by the relay, and from there on: %v; not one was to be lost", a, b, answers), p.a, p.b, theServer)
	case err != nil: // it has not come
		d.report("path", true, map[string]any{"from": a, "to": b, "path": pathName(relay), "relay": relay},
			"%s → %s: stays on the relay: no direct path within %v", a, b, patience)
		return relay, nil
	}
	after := max(0, moved.Sub(began))
	d.report("path", true, map[string]any{"from": a, "to": b, "path": pathName(""), "direct_ms": inMilliseconds(after)},
		"%s → %s: direct after %v; %v", a, b, short(after), answers)
	return "", nil
}

// usedInterval is between two packets of a session that is to be used.
const usedInterval = 100 * time.Millisecond

// keepUsed pings from one peer to the other, since a session that nobody uses gets no
// better path, for as long as patience at most; stop returns what became of it.
func (d *demo) keepUsed(ctx context.Context, p pair, patience time.Duration) (stop func() (PingResult, error)) {
	const part = 10 // pings at a time; the end waits for one such part
	type outcome struct {
		r   PingResult
		err error
	}
	enough, done := make(chan struct{}), make(chan outcome, 1)
	go func() {
		var all outcome
		for began := time.Now(); all.err == nil && time.Since(began) < patience; {
			var r PingResult
			r, all.err = d.world.Ping(ctx, p.a, p.b, PingOptions{Count: part, Interval: usedInterval})
			all.r.RTT = append(all.r.RTT, r.RTT...)
			all.r.Duplicates += r.Duplicates
			select {
			case <-enough:
				done <- all
				return
			default:
			}
		}
		done <- all
	}()
	return func() (PingResult, error) {
		close(enough)
		all := <-done
		return all.r, all.err
	}
}

// awaitDirect waits until a session goes a direct way, and returns since when.
func (d *demo) awaitDirect(ctx context.Context, patience time.Duration, p pair, since time.Time) (time.Time, error) {
	for deadline := time.Now().Add(patience); ; {
		l, err := d.await(ctx, time.Until(deadline), p.a, since, Pattern{msgMoved, vpnAddr(p.b).String()})
		if err != nil {
			return time.Time{}, err
		}
		if l.Attr(attrRelay) == "" {
			return l.Time, nil
		}
		since = l.Time.Add(1) // from one relay to another
	}
}

// carry transfers data between two peers, and checks that it goes where the session
// says: by the RDV's host if that is the relay, and else not.
func (d *demo) carry(ctx context.Context, p pair, relay string) error {
	before, err := d.world.ServerTraffic()
	if err != nil {
		return d.fail("transfer", err)
	}
	r, err := d.world.Bulk(ctx, p.a, p.b, d.o.Size)
	if err != nil {
		return d.fail("transfer", err, p.a, p.b, theServer)
	}
	after, err := d.world.ServerTraffic()
	if err != nil {
		return d.fail("transfer", err)
	}
	seen := after.Sub(before).Bytes()
	a, b := nameOf(p.a), nameOf(p.b)
	d.report("transfer", true, map[string]any{
		"from": a, "to": b, "bytes": r.Bytes, "seconds": r.Took.Seconds(), "bits_per_second": r.Rate(), "sha256": r.SHA256,
		"path": pathName(relay), "server_bytes": seen,
	}, "%s → %s: %s over TCP in %v, %s, SHA-256 %.16s… the same on both sides, %s; the rendezvous server's host saw %s meanwhile",
		a, b, FormatBytes(uint64(r.Bytes)), short(r.Took), FormatRate(r.Rate()), r.SHA256, byRelay(relay), FormatBytes(seen))
	switch {
	case relay != "" && seen < uint64(d.o.Size):
		return d.fail("transfer", fmt.Errorf("the relay has seen %s of %s", FormatBytes(seen), FormatBytes(uint64(d.o.Size))), p.a, p.b, theServer)
	case relay == "" && seen > d.serverLimit():
		return d.fail("transfer", fmt.Errorf("%s went through the rendezvous server's interface, and the path is direct", FormatBytes(seen)), p.a, p.b, theServer)
	}
	return nil
}

// pathName returns the kind of a path for programs.
func pathName(relay string) string {
	if relay == "" {
		return "direct"
	}
	return "relay"
}

// byRelay says in a sentence by which path it was.
func byRelay(relay string) string {
	if relay == "" {
		return "directly"
	}
	return "by the relay " + relay
}
