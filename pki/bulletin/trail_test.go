package bulletin

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/pki/pkitest"
)

// A cast is authorities with a letter each, by which tests name them.
type cast map[rune]*pkitest.CA

func newCast(t testing.TB, letters string) cast {
	t.Helper()
	c := cast{}
	for _, l := range letters {
		c[l] = pkitest.NewCA(t, string(l), now)
	}
	return c
}

// certs returns the certificates of authorities.
func (c cast) certs(letters string) (list []*x509.Certificate) {
	for _, l := range letters {
		list = append(list, c[l].Cert)
	}
	return list
}

// sign returns a bulletin: "7 AB by B" has number 7 and names A and B.
func (c cast) sign(t testing.TB, text string) []byte {
	t.Helper()
	var number uint64
	var names, by string
	if _, err := fmt.Sscanf(text, "%d %s by %s", &number, &names, &by); err != nil {
		t.Fatal(err)
	}
	var signers []Signer
	for _, l := range by {
		signers = append(signers, signer(c[l]))
	}
	return sign(t, &Bulletin{Number: number, Issued: now, CAs: c.certs(strings.Trim(names, "-"))}, signers...)
}

// letters returns the names of authorities, in order.
func (c cast) letters(list []*x509.Certificate) string {
	var b []string
	for l, ca := range c {
		if slices.ContainsFunc(list, ca.Cert.Equal) {
			b = append(b, string(l))
		}
	}
	slices.Sort(b)
	return strings.Join(b, "")
}

// TestTrail has stories of bulletins, one after the other, and what is trusted then.
func TestTrail(t *testing.T) {
	c := newCast(t, "ABCX")
	for _, story := range []struct {
		name, roots string
		steps       [][3]string // bulletin; error, or who may sign the next; how many links it takes
	}{
		{"one authority", "A", [][3]string{
			{"1 A by A", "A", "1"}, {"2 A by A", "A", "1"}, {"2 A by A", "ErrOld", "1"}, {"1 A by A", "ErrOld", "1"}, {"3 X by X", "ErrUntrusted", "1"},
		}},
		{"the key is replaced", "A", [][3]string{
			{"1 A by A", "A", "1"}, {"2 BA by BA", "AB", "1"}, {"3 BA by BA", "AB", "1"}, {"4 B by BA", "B", "1"},
			{"5 B by A", "ErrUntrusted", "1"}, {"5 B by B", "B", "2"}, {"6 B by B", "B", "2"}, {"7 A by A", "ErrUntrusted", "2"},
		}},
		{"and again", "A", [][3]string{
			{"2 B by BA", "B", "1"}, {"3 CB by CB", "BC", "2"}, {"4 C by CB", "C", "2"}, {"5 C by C", "C", "3"}, {"6 C by C", "C", "3"},
			{"7 B by B", "ErrUntrusted", "3"}, {"7 A by A", "ErrUntrusted", "3"},
		}},
		{"the replacement is called off", "A", [][3]string{{"1 BA by BA", "AB", "1"}, {"2 A by A", "A", "1"}, {"3 B by B", "ErrUntrusted", "1"}}},
		{"away until the last that both have signed", "A", [][3]string{{"9 B by BA", "B", "1"}}},
		{"away for too long", "A", [][3]string{{"9 B by B", "ErrUntrusted", "0"}}},
		{"the new one is a root already", "AB", [][3]string{{"1 BA by BA", "AB", "1"}, {"2 B by BA", "B", "1"}, {"3 B by B", "B", "2"}}},
		{"only the new one is a root", "B", [][3]string{{"1 BA by BA", "AB", "1"}, {"2 B by BA", "B", "1"}, {"3 B by B", "B", "1"}}},
		{"one cannot retire another", "AB", [][3]string{{"1 A by A", "AB", "1"}, {"2 B by B", "AB", "1"}}},
		{"nor one that it has named", "A", [][3]string{{"1 BA by A", "AB", "1"}, {"2 B by B", "AB", "2"}, {"3 A by A", "A", "1"}}},
		{"one is named again", "A", [][3]string{{"1 B by BA", "B", "1"}, {"2 BA by B", "AB", "2"}}},
		{"a bulletin that names nobody", "A", [][3]string{{"1 BA by A", "AB", "1"}, {"2 - by A", "A", "1"}, {"3 - by A", "A", "1"}}},
	} {
		t.Run(story.name, func(t *testing.T) {
			trail := NewTrail(c.certs(story.roots))
			for _, s := range story.steps {
				next, err := trail.Take(now, c.sign(t, s[0]))
				want := map[string]error{"ErrOld": ErrOld, "ErrUntrusted": ErrUntrusted}[s[1]]
				if !errors.Is(err, want) || want == nil && err != nil {
					t.Fatalf("%s: error %v, want %v", s[0], err, want)
				}
				if err == nil {
					trail = next
					if got := c.letters(trail.trusted()); got != s[1] {
						t.Errorf("%s: trusted are %s, want %s", s[0], got, s[1])
					}
				}
				if got := fmt.Sprint(len(trail.links)); got != s[2] {
					t.Errorf("%s: %s bulletins are kept, want %s", s[0], got, s[2])
				}
				c.checkKept(t, trail)
			}
		})
	}
}

// checkKept checks that a trail is the same after it was kept, also when the
// authorities have expired since.
func (c cast) checkKept(t *testing.T, trail *Trail) {
	t.Helper()
	again, err := ParseTrail(trail.roots, trail.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	under := trail.Under(trail.roots)
	for _, o := range []*Trail{again, under} {
		if c.letters(o.Added()) != c.letters(trail.Added()) || c.letters(o.Retired()) != c.letters(trail.Retired()) || !bytes.Equal(o.Raw(), trail.Raw()) {
			t.Errorf("added %s and retired %s, and when it was kept %s and %s", c.letters(trail.Added()), c.letters(trail.Retired()),
				c.letters(o.Added()), c.letters(o.Retired()))
		}
	}
}

// TestTrailRoots: with other roots only that counts which follows from them.
func TestTrailRoots(t *testing.T) {
	c := newCast(t, "ABX")
	trail := NewTrail(c.certs("A"))
	for _, b := range []string{"1 B by BA", "2 B by B"} {
		var err error
		if trail, err = trail.Take(now, c.sign(t, b)); err != nil {
			t.Fatal(err)
		}
	}
	kept := trail.Append(nil)
	for _, s := range []struct {
		roots, trusted string
		number         uint64 // 0: nothing follows
	}{{"A", "B", 2}, {"B", "B", 2}, {"AB", "B", 2}, {"X", "X", 0}, {"AX", "BX", 2}, {"", "", 0}} {
		under := trail.Under(c.certs(s.roots))
		number := uint64(0)
		if b := under.Current(); b != nil {
			number = b.Number
		}
		if got := c.letters(under.trusted()); got != s.trusted || number != s.number {
			t.Errorf("under %s: %s, bulletin %d, want %s, %d", s.roots, got, number, s.trusted, s.number)
		}
		if _, err := ParseTrail(c.certs(s.roots), kept); (err == nil) != (s.number != 0) || err != nil && !errors.Is(err, ErrUntrusted) {
			t.Errorf("under %s, from a file: %v", s.roots, err)
		}
	}
}

// TestTrailIntermediate: an intermediate authority signs policies, and makes nobody an
// authority, nor does it retire its root.
func TestTrailIntermediate(t *testing.T) {
	c := newCast(t, "AX")
	sub := c['A'].Intermediate(t, "below")
	trail := NewTrail(append(c.certs("A"), sub.Cert))
	data := sign(t, &Bulletin{Number: 1, Issued: now, Policy: "default deny\n", CAs: c.certs("X")}, signer(sub), signer(c['X']))
	trail, err := trail.Take(now, data)
	if err != nil || trail.Current().Policy == "" {
		t.Fatalf("bulletin %+v, %v", trail.Current(), err)
	}
	if len(trail.Added()) != 0 || len(trail.Retired()) != 0 {
		t.Errorf("added %s, retired %s", c.letters(trail.Added()), c.letters(trail.Retired()))
	}
	if _, err := trail.Take(now, c.sign(t, "2 X by X")); !errors.Is(err, ErrUntrusted) {
		t.Errorf("signed by what only the intermediate one has named: %v", err)
	}
}

// TestTrailTimes: what expires does not sign any more, but what it has signed counts;
// and a bulletin from the future does not.
func TestTrailTimes(t *testing.T) {
	c := newCast(t, "AB")
	late := now.AddDate(11, 0, 0)
	trail, err := NewTrail(c.certs("A")).Take(now, c.sign(t, "1 B by BA"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trail.Take(late, c.sign(t, "2 B by B")); !errors.Is(err, ErrUntrusted) {
		t.Errorf("signed by an authority that has expired: %v", err)
	}
	c.checkKept(t, trail)
	for ahead, want := range map[time.Duration]error{maxEarly: nil, maxEarly + time.Second: ErrEarly} {
		data := sign(t, &Bulletin{Number: 2, Issued: now.Add(ahead), CAs: c.certs("B")}, signer(c['B']))
		if _, err := trail.Take(now, data); !errors.Is(err, want) {
			t.Errorf("made %v later: %v, want %v", ahead, err, want)
		}
	}
}

// TestTrailLong: so many keys are followed, and no more; the last one that could be
// followed stays.
func TestTrailLong(t *testing.T) {
	var last *pkitest.CA
	first := pkitest.NewCA(t, "0", now)
	trail := NewTrail([]*x509.Certificate{first.Cert})
	last = first
	for n := 1; ; n++ {
		next := pkitest.NewCA(t, fmt.Sprint(n), now)
		longer, err := trail.Take(now, sign(t, &Bulletin{Number: uint64(n), Issued: now, CAs: []*x509.Certificate{next.Cert}}, signer(next), signer(last)))
		if err != nil {
			if !errors.Is(err, ErrLong) || n != maxLinks+1 {
				t.Errorf("key %d: %v, want ErrLong for key %d", n, err, maxLinks+1)
			}
			break
		}
		trail, last = longer, next
	}
	if got := trail.Current().Number; got != maxLinks || len(trail.Retired()) != 1 {
		t.Errorf("bulletin %d, %d have retired", got, len(trail.Retired()))
	}
	if _, err := ParseTrail([]*x509.Certificate{first.Cert}, trail.Append(nil)); err != nil {
		t.Errorf("the longest trail, from a file: %v", err)
	}
}

func TestParseTrailMalformed(t *testing.T) {
	c := newCast(t, "AB")
	trail, err := NewTrail(c.certs("A")).Take(now, c.sign(t, "1 B by BA"))
	if err == nil {
		trail, err = trail.Take(now, c.sign(t, "2 B by B"))
	}
	if err != nil {
		t.Fatal(err)
	}
	good := trail.Append(nil)
	for name, data := range map[string][]byte{
		"nothing":          nil,
		"cut off":          good[:len(good)-1],
		"something behind": append(bytes.Clone(good), 0),
		"too many":         append([]byte(trailMagic), bytes.Repeat([]byte{0, 0, 0}, maxLinks+1)...),
		"an empty one":     append([]byte(trailMagic), 0, 0, 0),
	} {
		if _, err := ParseTrail(c.certs("A"), data); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", name, err)
		}
	}
	if empty, err := ParseTrail(c.certs("A"), NewTrail(nil).Append(nil)); err != nil || empty.Current() != nil || empty.Raw() != nil {
		t.Errorf("a trail without bulletins: %v", err)
	}
}

// FuzzParseTrail: whatever is in the file, only authorities that the root leads to are
// trusted, and the root is retired by nobody else.
func FuzzParseTrail(f *testing.F) {
	c := newCast(f, "ABX")
	both, one := c.sign(f, "1 BA by BA"), c.sign(f, "2 B by B")
	trail, err := NewTrail(c.certs("A")).Take(now, both)
	if err == nil {
		trail, err = trail.Take(now, one)
	}
	if err != nil {
		f.Fatal(err)
	}
	f.Add(trail.Append(nil))
	f.Add(both)
	f.Add(c.sign(f, "3 X by X"))
	f.Add(append([]byte(trailMagic), one...))
	f.Fuzz(func(t *testing.T, data []byte) {
		trail, err := ParseTrail(c.certs("A"), data)
		if err != nil {
			return
		}
		if got := c.letters(trail.trusted()); got != "A" && got != "AB" {
			t.Fatalf("trusted are %s", got)
		}
		c.checkKept(t, trail)
	})
}
