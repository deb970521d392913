package bulletin

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"campagnol/pki"

	"golang.org/x/crypto/cryptobyte"
)

const (
	// MaxTrail is the size of the largest trail in a file, in bytes.
	MaxTrail = 16 << 20

	// maxLinks is how many bulletins a trail has: with each key of the authority that
	// is not among the roots there is one more.
	maxLinks = 16

	// maxEarly is how far in the future a bulletin may be made: clocks differ.
	maxEarly = 24 * time.Hour

	trailMagic = "CVT1"
)

// Errors of [Trail.Take], beside those of [Parse].
var (
	// ErrOld is for a bulletin whose number is not higher than that of the last one.
	ErrOld = errors.New("bulletin: there is a newer one already")

	// ErrEarly is for a bulletin from the future.
	ErrEarly = errors.New("bulletin: it was made in the future; compare the clocks")

	// ErrLong is for a bulletin that leads too far away from the roots.
	ErrLong = errors.New("bulletin: the authority has got too many keys since the one that is trusted; add its certificate to the roots")
)

// A Trail is what bulletins make somebody believe who has some roots: the newest
// bulletin, and those before it that it takes to get from the roots to its signer.
// All trust comes from the roots, in these steps:
//
//   - A bulletin counts if one of the authorities has signed it that are trusted then,
//     and if its number is higher than that of the last one.
//   - The authorities that the newest bulletin names are trusted beside the roots, if a
//     root has signed it: an intermediate authority must not get beyond its limits by
//     another certificate. Those that only an earlier one has named are not any more.
//   - A root that has signed a bulletin which names others, and not itself, has retired.
//     It is trusted no more until a bulletin names it.
//
// So an authority can only be retired by its own key, and whoever was away while a
// key was replaced gets from the old to the new one by the last bulletin that both
// have signed.
//
// A Trail does not change, and is safe for concurrent use.
type Trail struct {
	roots   []*x509.Certificate
	links   []link // oldest first
	added   []*x509.Certificate
	retired []*x509.Certificate
}

// A link is a bulletin of a trail.
type link struct {
	data   []byte
	signed *Signed
}

// NewTrail returns the trail of somebody who has seen no bulletin. roots may have
// intermediate authorities: they can sign bulletins, too.
func NewTrail(roots []*x509.Certificate) *Trail {
	return &Trail{roots: slices.Clone(roots)}
}

// Current returns the newest bulletin, or nil if there is none.
func (t *Trail) Current() *Bulletin {
	if len(t.links) == 0 {
		return nil
	}
	b := t.links[len(t.links)-1].signed.bulletin
	return &b
}

// Raw returns the newest bulletin as it was signed, or nil if there is none. It must
// not be changed.
func (t *Trail) Raw() []byte {
	if len(t.links) == 0 {
		return nil
	}
	return t.links[len(t.links)-1].data
}

// Added returns the authorities that are trusted beside the roots.
func (t *Trail) Added() []*x509.Certificate { return slices.Clone(t.added) }

// Retired returns the roots that are not trusted any more.
func (t *Trail) Retired() []*x509.Certificate { return slices.Clone(t.retired) }

// trusted returns who may sign the next bulletin.
func (t *Trail) trusted() []*x509.Certificate {
	return slices.DeleteFunc(slices.Concat(t.roots, t.added), func(c *x509.Certificate) bool { return holds(t.retired, c) })
}

// holds reports whether one of the certificates is for the key of c.
func holds(list []*x509.Certificate, c *x509.Certificate) bool {
	id := pki.KeyOf(c)
	return slices.ContainsFunc(list, func(o *x509.Certificate) bool { return pki.KeyOf(o) == id })
}

// Take returns the trail that goes on with a bulletin, or why it does not count:
// [ErrMalformed], [ErrUntrusted], [ErrOld], [ErrEarly] or [ErrLong]. It accepts any
// input, and keeps data.
func (t *Trail) Take(now time.Time, data []byte) (*Trail, error) {
	signed, err := Parse(data)
	if err != nil {
		return nil, err
	}
	b, err := signed.Verify(now, t.trusted())
	if err != nil {
		return nil, err
	}
	if last := t.Current(); last != nil && b.Number <= last.Number {
		return nil, fmt.Errorf("number %d, after %d: %w", b.Number, last.Number, ErrOld)
	}
	if b.Issued.After(now.Add(maxEarly)) {
		return nil, fmt.Errorf("of %s: %w", b.Issued.Format(time.DateTime), ErrEarly)
	}
	return t.with(link{data, signed})
}

// with returns the trail with another link, which is good. Links that lead nowhere
// else than the roots or other links do are left out.
func (t *Trail) with(last link) (*Trail, error) {
	whole := t.step(last)
	for n := range len(t.links) + 1 {
		short := NewTrail(t.roots)
		links := append(slices.Clone(t.links[:n]), last)
		if short.walk(links) && sameCerts(short.added, whole.added) && sameKeys(short.retired, whole.retired) {
			whole = short
			break
		}
	}
	if len(whole.links) > maxLinks {
		return nil, ErrLong
	}
	return whole, nil
}

// walk follows links from the roots, and reports whether the last one counts. Those
// that do not are left out. Nothing depends on the time: what counted when it came
// still does.
func (t *Trail) walk(links []link) bool {
	for i, l := range links {
		last := t.Current()
		old := last != nil && l.signed.bulletin.Number <= last.Number
		if old || !slices.ContainsFunc(t.trusted(), l.signed.isBy) {
			if i == len(links)-1 {
				return false
			}
			continue
		}
		*t = *t.step(l)
	}
	return true
}

// step returns what is trusted after a bulletin that counts.
func (t *Trail) step(l link) *Trail {
	b := &l.signed.bulletin
	next := &Trail{roots: t.roots, links: append(slices.Clone(t.links), l)}
	byRoot := slices.ContainsFunc(t.trusted(), func(c *x509.Certificate) bool { return isRoot(c) && l.signed.isBy(c) })
	for _, c := range b.CAs {
		if byRoot && isRoot(c) && !slices.ContainsFunc(slices.Concat(t.roots, next.added), c.Equal) {
			next.added = append(next.added, c)
		}
	}
	gone := slices.Clone(t.retired)
	if slices.ContainsFunc(b.CAs, isRoot) {
		for _, c := range t.roots { // another that is not named is not trusted anyway
			if isRoot(c) && !holds(gone, c) && l.signed.isBy(c) {
				gone = append(gone, c)
			}
		}
	}
	next.retired = slices.DeleteFunc(gone, func(c *x509.Certificate) bool { return holds(b.CAs, c) })
	return next
}

// isRoot reports whether an authority stands above all others: of one that does not,
// its root decides.
func isRoot(c *x509.Certificate) bool {
	return bytes.Equal(c.RawSubject, c.RawIssuer) && c.CheckSignatureFrom(c) == nil
}

// isBy reports whether an authority has signed the bulletin, at whatever time.
func (s *Signed) isBy(c *x509.Certificate) bool {
	_, err := s.Verify(c.NotBefore, []*x509.Certificate{c})
	return err == nil
}

func sameCerts(a, b []*x509.Certificate) bool {
	return slices.EqualFunc(a, b, (*x509.Certificate).Equal)
}

// sameKeys reports whether two lists are of the same keys, in any order.
func sameKeys(a, b []*x509.Certificate) bool {
	within := func(a, b []*x509.Certificate) bool {
		return !slices.ContainsFunc(a, func(c *x509.Certificate) bool { return !holds(b, c) })
	}
	return within(a, b) && within(b, a)
}

// Append appends what [ParseTrail] reads to b. A trail of one bulletin is that; of
// more, "CVT1" and the bulletins, oldest first, each with its length in three bytes
// before it.
func (t *Trail) Append(b []byte) []byte {
	if len(t.links) == 1 {
		return append(b, t.links[0].data...)
	}
	w := cryptobyte.NewBuilder(append(b, trailMagic...))
	for _, l := range t.links {
		w.AddUint24LengthPrefixed(func(w *cryptobyte.Builder) { w.AddBytes(l.data) })
	}
	return w.BytesOrPanic() // MaxSize fits into three bytes
}

// ParseTrail reads the trail of somebody with these roots from what he has kept, and
// keeps data. Bulletins whose signers have expired since still count. It returns
// [ErrUntrusted] if the newest bulletin does not follow from the roots: they are
// others now. It accepts any input.
func ParseTrail(roots []*x509.Certificate, data []byte) (*Trail, error) {
	parts := [][]byte{data}
	if rest, ok := bytes.CutPrefix(data, []byte(trailMagic)); ok {
		parts = nil
		for s := cryptobyte.String(rest); !s.Empty(); {
			var part cryptobyte.String
			if !s.ReadUint24LengthPrefixed(&part) || len(parts) == maxLinks {
				return nil, ErrMalformed
			}
			parts = append(parts, part)
		}
	}
	var links []link
	for _, part := range parts {
		signed, err := Parse(part)
		if err != nil {
			return nil, err
		}
		links = append(links, link{part, signed})
	}
	t := NewTrail(roots)
	if len(links) == 0 {
		return t, nil
	}
	if !t.walk(links) {
		return nil, ErrUntrusted
	}
	return t, nil
}

// Under returns the trail of somebody who has seen the same bulletins and has other
// roots. If the newest does not follow from them it is as if there were none.
func (t *Trail) Under(roots []*x509.Certificate) *Trail {
	next := NewTrail(roots)
	if len(t.links) > 0 && !next.walk(t.links) {
		return NewTrail(roots)
	}
	return next
}
