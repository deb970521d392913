package ocsp

import (
	"context"
	"fmt"
	"time"

	"campagnol/pki"
)

// A Mode says what the answers of responders decide.
type Mode uint8

// The modes.
const (
	Off     Mode = iota // nobody is asked
	Yes                 // who is revoked is refused; without an answer all pass
	Require             // only who has a good answer passes
)

var modeNames = [...]string{"no", "yes", "require"}

// String returns the mode as it is written in configurations.
func (m Mode) String() string {
	if int(m) < len(modeNames) {
		return modeNames[m]
	}
	return fmt.Sprintf("mode %d", uint8(m))
}

// ParseMode reads what [Mode.String] writes.
func ParseMode(text string) (Mode, error) {
	for m, name := range modeNames {
		if text == name {
			return Mode(m), nil
		}
	}
	return Off, fmt.Errorf("%q is not no, yes or require", text)
}

// A Judge decides about peers by the answers of a Checker. The zero value accepts
// everybody. It is safe for concurrent use.
type Judge struct {
	Checker *Checker // may be nil if Mode is Off
	Mode    Mode
}

// Inquire asks the responder of a peer's certificate, unless its answer is known
// already. It waits for it, but no longer than ctx and some seconds.
func (j Judge) Inquire(ctx context.Context, peer *pki.Peer) {
	if j.Mode != Off {
		j.Checker.inquire(ctx, peer)
	}
}

// Check decides about a peer by what is known. Its error is a [*pki.Refusal]. It
// never waits.
func (j Judge) Check(now time.Time, peer *pki.Peer) error {
	if j.Mode == Off {
		return nil
	}
	a, fault := j.Checker.known(keyOf(peer.Leaf.Raw))
	switch {
	case a.status == revoked:
		return pki.NewRefusal(pki.Revoked, peer.Leaf, a.revocation(), `issue a new one, with another key, if that was a mistake: "campagnol ca issue NAME --renew"`)
	case j.Mode == Yes:
		return nil
	case a.status == good && a.counts(now):
		return nil
	}
	return pki.NewRefusal(pki.NoAnswer, peer.Leaf, "no responder (OCSP) has said that it is good: "+whyNot(now, a, fault), remedyFor(fault))
}

// whyNot says why a, which is not a good answer that counts, is none.
func whyNot(now time.Time, a answer, fault error) string {
	switch {
	case a.status == unknown && a.counts(now):
		return errUnknown.Error()
	case fault != nil:
		return fault.Error()
	case a.status != unasked:
		return fmt.Sprintf("the last answer ended on %s", stamp(a.end()))
	}
	return "it was not asked yet"
}

// stamp formats times in messages.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
