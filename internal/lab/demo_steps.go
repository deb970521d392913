package lab

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// How long the steps may take that wait for something.
const (
	startPatience     = 15 * time.Second // for a program to be up and registered
	connectPatience   = 10 * time.Second // for the first answer through a new path
	logPatience       = 3 * time.Second  // for a line that is being written
	broadcastPatience = 3 * time.Second
	idlePatience      = idleTimeout + 15*time.Second // the other side waits ten seconds longer
)

// The clients' and the server's messages that the steps look for.
const (
	msgListening  = "Server listening on port"
	msgRegistered = "Registration complete"
	msgExamined   = "The way to the Internet was examined" // a client knows what NAT it is behind
	msgAsking     = "Asking the RDV server for peer"
	msgPunching   = "Punching"
	msgPathOpen   = "Path open to peer"
	msgOpened     = "New DTLS connection opened with peer"
	msgTimeout    = "Session timeout:"
	msgClosed     = "DTLS connection closed by peer"
)

// build makes namespaces and NATs.
func (d *demo) build(ctx context.Context) error {
	top, err := d.world.Build(ctx, d.plan)
	if err != nil {
		return d.fail("network", err)
	}
	d.report("network", true, top, "lab %s: the Internet %v, a rendezvous server at %v, %d peers",
		top.Lab, d.o.internet(), top.Server, len(top.Peers))
	for i, p := range top.Peers {
		d.report("network", true, nil, "%s is %s", nameOf(i), d.o.place(p))
	}
	return nil
}

// measure checks that the NATs are what they are meant to be.
func (d *demo) measure(ctx context.Context) error {
	if d.o.Underlay == underlayIPv6 {
		return nil // nothing is translated
	}
	for i, kind := range d.plan {
		got, err := d.world.Measure(ctx, i)
		if err != nil {
			return d.fail("nat", err)
		}
		if want := kind.Behaviour(); got != want {
			return d.fail("nat", fmt.Errorf("the NAT of %s was to be %v (%v), and has %v", nameOf(i), kind, want, got))
		}
		data := map[string]any{"peer": nameOf(i), "kind": kind.String(), "mapping": got.Mapping.String(), "filtering": got.Filtering.String()}
		d.report("nat", true, data, "%s measured: %v = %v, as asked for", nameOf(i), got, kind)
	}
	return nil
}

// certify makes the certificates.
func (d *demo) certify(ctx context.Context) error {
	if err := d.world.Certify(ctx); err != nil {
		return d.fail("certificates", err)
	}
	server := ""
	if d.o.authenticates() {
		server = ", and one for the rendezvous server"
	}
	d.report("certificates", true, nil, "a certificate authority, and %d certificates that bind the VPN addresses %v to %v%s",
		len(d.plan), vpnAddr(0), vpnAddr(len(d.plan)-1), server)
	return nil
}

// startServer starts the RDV and waits until it listens.
func (d *demo) startServer(ctx context.Context) error {
	how, err := d.world.StartServer(ctx)
	if err != nil {
		return d.fail("rdv", err)
	}
	if _, err := d.await(ctx, startPatience, theServer, time.Time{}, Pattern{Message: msgListening}); err != nil {
		return d.fail("rdv", err, theServer)
	}
	mode := ""
	if d.o.authenticates() {
		mode = ", mode " + d.o.RDVMode
	}
	if d.o.Relay {
		mode += ", and relays"
	}
	d.report("rdv", true, nil, "the rendezvous server listens (campagnol_rdv, %s%s)", how, mode)
	return nil
}

// startClients starts all clients and waits until they are registered.
func (d *demo) startClients(ctx context.Context) error {
	began := time.Now()
	d.clients = began
	for i := range d.plan {
		if err := d.world.StartClient(ctx, i); err != nil {
			return d.fail("register", err)
		}
	}
	for i := range d.plan {
		l, err := d.await(ctx, startPatience, i, time.Time{}, Pattern{Message: msgRegistered})
		if err != nil {
			return d.fail("register", err, i, theServer)
		}
		if d.o.guesses(d.o.NATs[0], d.o.NATs[1]) {
			if _, err := d.await(ctx, startPatience, i, time.Time{}, Pattern{Message: msgExamined}); err != nil {
				return d.fail("register", err, i, theServer)
			}
		}
		certificate, proven := l.Attr("certificate"), ""
		switch {
		case certificate != "":
			proven = fmt.Sprintf(", over a channel in which both have shown their certificates (%s)", certificate)
		case d.o.authenticates():
			return d.fail("register", fmt.Errorf("%s is registered in clear, and the rendezvous server has a certificate", nameOf(i)), i, theServer)
		}
		took := max(0, l.Time.Sub(began))
		data := map[string]any{"peer": nameOf(i), "vpn_ip": vpnAddr(i), "took_ms": inMilliseconds(took), "authenticated": certificate != ""}
		d.report("register", true, data, "%s is registered as %v%s", nameOf(i), vpnAddr(i), proven)
	}
	return nil
}

// await is the world's Await with a time-out of its own.
func (d *demo) await(ctx context.Context, patience time.Duration, who int, since time.Time, p Pattern) (LogLine, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("%v have passed", patience))
	defer cancel()
	return d.world.Await(ctx, who, since, p)
}

// firstPings is what the first contact of two peers consists of.
var firstPings = PingOptions{Count: 20, Interval: 25 * time.Millisecond, Patience: connectPatience}

// connect sends the first packets between two peers and checks that none is
// lost.
func (d *demo) connect(ctx context.Context, p pair) error {
	a, b := nameOf(p.a), nameOf(p.b)
	r, err := d.world.Ping(ctx, p.a, p.b, firstPings)
	if err != nil {
		return d.fail("connect", err, p.a, p.b, theServer)
	}
	if r.Received() < len(r.RTT) {
		return d.fail("connect", fmt.Errorf("%s pings %s (%v, %v): %v; not one was to be lost, the first included",
			a, b, d.plan[p.a], d.plan[p.b], r), p.a, p.b, theServer)
	}
	phases, data, err := d.timeline(ctx, p, r)
	if err != nil {
		return d.fail("connect", err, p.a, p.b, theServer)
	}
	d.report("connect", true, data, "%s → %s: the first packet had its answer after %v: %s", a, b, short(r.First()), phases)
	d.report("ping", true, map[string]any{
		"from": a, "to": b, "sent": len(r.RTT), "received": r.Received(), "duplicates": r.Duplicates,
		"first_ms": inMilliseconds(r.First()), "median_ms": inMilliseconds(r.Median()),
	}, "%s → %s: %v", a, b, r)
	return nil
}

// timeline finds out from the log of the peer that asked what happened between
// the first packet and its answer.
func (d *demo) timeline(ctx context.Context, p pair, r PingResult) (text string, data map[string]any, err error) {
	data = map[string]any{"from": nameOf(p.a), "to": nameOf(p.b), "reply_ms": inMilliseconds(r.First())}
	var phases []string
	for _, phase := range []struct{ key, word, message string }{
		{"ask_ms", "asked the RDV", msgAsking},
		{"punch_ms", "punched", msgPunching},
		{"path_ms", "path open", msgPathOpen},
		{"dtls_ms", "DTLS", msgOpened},
	} {
		l, err := d.await(ctx, logPatience, p.a, r.Start, Pattern{phase.message, vpnAddr(p.b).String()})
		if err != nil {
			return "", nil, err
		}
		after := max(0, l.Time.Sub(r.Start))
		data[phase.key] = inMilliseconds(after)
		word := phase.word
		if cipher := l.Attr("cipher"); cipher != "" {
			data["cipher"] = cipher
			word += " (" + cipher + ")"
		}
		phases = append(phases, fmt.Sprintf("%s +%v", word, short(after)))
	}
	return strings.Join(phases, ", "), data, nil
}

// hopelessPings is how pairs are tried for which theory has no path: one try
// of a client takes less than half of the time.
var hopelessPings = PingOptions{Count: 8, Interval: time.Second, Patience: time.Second}

// checkHopeless checks, for all pairs at the same time, that there is no path
// where there can be none.
func (d *demo) checkHopeless(ctx context.Context, hopeless []pair) error {
	if len(hopeless) == 0 {
		return nil
	}
	bound := time.Duration(hopelessPings.Count-1)*hopelessPings.Interval + hopelessPings.Patience
	for _, p := range hopeless {
		d.report("no-path", true, nil, "%s → %s: no direct path expected between %v and %v; trying for %v",
			nameOf(p.a), nameOf(p.b), d.plan[p.a], d.plan[p.b], bound)
	}
	type outcome struct {
		r   PingResult
		err error
	}
	done := make([]chan outcome, len(hopeless))
	for i, p := range hopeless {
		done[i] = make(chan outcome, 1)
		go func() {
			r, err := d.world.Ping(ctx, p.a, p.b, hopelessPings)
			done[i] <- outcome{r, err}
		}()
	}
	var errs []error
	for i, p := range hopeless {
		o := <-done[i]
		switch {
		case o.err != nil:
			errs = append(errs, d.fail("no-path", o.err, p.a, p.b))
		case o.r.Received() > 0:
			errs = append(errs, d.fail("no-path", fmt.Errorf("%s reaches %s through %v and %v (%v), where theory has no direct path",
				nameOf(p.a), nameOf(p.b), d.plan[p.a], d.plan[p.b], o.r), p.a, p.b))
		default:
			d.report("no-path", true, map[string]any{"from": nameOf(p.a), "to": nameOf(p.b), "sent": len(o.r.RTT), "received": 0},
				"%s → %s: no answer to %d packets, as theory says", nameOf(p.a), nameOf(p.b), len(o.r.RTT))
		}
	}
	return errors.Join(errs...)
}

// broadcast sends a broadcast to peers with a direct path. Sessions may have
// been closed for idleness since the peers met: broadcasts open none, so that
// each is pinged once more.
func (d *demo) broadcast(ctx context.Context, from int, to []int) error {
	for _, peer := range to {
		r, err := d.world.Ping(ctx, from, peer, PingOptions{Count: 1, Patience: connectPatience})
		if err == nil && r.Received() == 0 {
			err = fmt.Errorf("%s does not reach %s any more", nameOf(from), nameOf(peer))
		}
		if err != nil {
			return d.fail("broadcast", err, from, peer, theServer)
		}
	}
	within, cancel := context.WithTimeout(ctx, broadcastPatience)
	defer cancel()
	all, err := d.world.Broadcast(within, from, to)
	if err != nil {
		return d.fail("broadcast", err, from)
	}
	var slowest time.Duration
	for i, got := range all {
		name := nameOf(to[i])
		switch {
		case got.After == Lost:
			return d.fail("broadcast", fmt.Errorf("%s did not receive the broadcast of %s within %v", name, nameOf(from), broadcastPatience), from, to[i])
		case got.Copies != 1:
			return d.fail("broadcast", fmt.Errorf("%s received the broadcast of %s %d times", name, nameOf(from), got.Copies), from, to[i])
		case got.Source.Addr() != vpnAddr(from):
			return d.fail("broadcast", fmt.Errorf("%s received the broadcast of %s from %v", name, nameOf(from), got.Source), from, to[i])
		}
		slowest = max(slowest, got.After)
	}
	d.report("broadcast", true, map[string]any{"from": nameOf(from), "receivers": len(to), "slowest_ms": inMilliseconds(slowest)},
		"a broadcast of %s reached %d of %d peers, the slowest after %v", nameOf(from), len(all), len(to), short(slowest))
	return nil
}

// transfer sends data from one peer to another and checks that the RDV had no
// part in it.
func (d *demo) transfer(ctx context.Context, from, to int, before Traffic) error {
	r, err := d.world.Bulk(ctx, from, to, d.o.Size)
	if err != nil {
		return d.fail("transfer", err, from, to)
	}
	d.report("transfer", true, map[string]any{
		"from": nameOf(from), "to": nameOf(to), "bytes": r.Bytes, "seconds": r.Took.Seconds(), "bits_per_second": r.Rate(), "sha256": r.SHA256,
	}, "%s → %s: %s over TCP in %v, %s, SHA-256 %.16s… the same on both sides",
		nameOf(from), nameOf(to), FormatBytes(uint64(r.Bytes)), short(r.Took), FormatRate(r.Rate()), r.SHA256)

	after, err := d.world.ServerTraffic()
	if err != nil {
		return d.fail("direct", err)
	}
	seen := after.Sub(before)
	data := map[string]any{"packets": seen.Packets(), "bytes": seen.Bytes()}
	if limit := d.serverLimit(); seen.Bytes() > limit {
		return d.fail("direct", fmt.Errorf("%s went through the rendezvous server's interface; the introductions take less than %s",
			FormatBytes(seen.Bytes()), FormatBytes(limit)), theServer)
	}
	d.report("direct", true, data, "all of it went directly: meanwhile the rendezvous server saw %d packets, %s", seen.Packets(), FormatBytes(seen.Bytes()))
	return nil
}

// serverLimit is what the RDV may see of a demonstration, in bytes: generous
// for introductions, and far less than the transfer.
func (d *demo) serverLimit() uint64 {
	return min(uint64(d.o.Size)/2, 64_000+8_000*uint64(len(d.plan)))
}

// idle waits until one of two peers closes the unused session, and the other
// follows.
func (d *demo) idle(ctx context.Context, a, b int) error {
	last := time.Now()
	d.report("idle", true, nil, "%s and %s are silent now; their time-out is %v", nameOf(a), nameOf(b), idleTimeout)
	first, l, err := d.awaitEither(ctx, a, b, last)
	if err != nil {
		return d.fail("idle", err, a, b)
	}
	other, gone := b, vpnAddr(a)
	if first == b {
		other, gone = a, vpnAddr(b)
	}
	if _, err := d.await(ctx, logPatience, other, last, Pattern{msgClosed, gone.String()}); err != nil {
		return d.fail("idle", err, a, b)
	}
	after := l.Time.Sub(last)
	d.report("idle", true, map[string]any{"closed_by": nameOf(first), "after_ms": inMilliseconds(after)},
		"%s has closed the session with %s after %v, and %s has noticed", nameOf(first), nameOf(other), short(after), nameOf(other))
	return nil
}

// awaitEither waits until one of two peers closes the session with the other
// for idleness, and returns which.
func (d *demo) awaitEither(ctx context.Context, a, b int, since time.Time) (first int, l LogLine, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, idlePatience, fmt.Errorf("%v have passed", idlePatience))
	defer cancel()
	type outcome struct {
		who int
		l   LogLine
		err error
	}
	done := make(chan outcome, 2)
	for _, who := range []struct{ self, peer int }{{a, b}, {b, a}} {
		go func() {
			l, err := d.world.Await(ctx, who.self, since, Pattern{msgTimeout, vpnAddr(who.peer).String()})
			done <- outcome{who.self, l, err}
		}()
	}
	one := <-done
	if one.err == nil {
		cancel()
		<-done
		return one.who, one.l, nil
	}
	other := <-done
	if other.err == nil {
		return other.who, other.l, nil
	}
	return 0, LogLine{}, errors.Join(one.err, other.err)
}

// inMilliseconds converts a duration for programs.
func inMilliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
