package metrics

import "time"

// Time reports a moment, as the seconds since 1970 that Prometheus understands; the
// zero time is not reported.
func (s Scrape) Time(f *Family, t time.Time, labels ...string) {
	if !t.IsZero() {
		s.Set(f, float64(t.UnixMilli())/1000, labels...)
	}
}

// A Certificate is one on which a program depends.
type Certificate struct {
	Authority bool // it is that of an authority, not the program's own
	Name      string
	Serial    string
	Expires   time.Time
}

// Kinds of certificates, values of a label.
const (
	kindOwn       = "own"
	kindAuthority = "authority"
)

// Certificates reports when certificates end, by kind, name and serial number. Of two
// that these do not tell apart it is the earlier end: a registry refuses metrics that
// are there twice.
func (s Scrape) Certificates(f *Family, list []Certificate) {
	type key struct{ kind, name, serial string }
	ends := map[key]time.Time{}
	for _, c := range list {
		k := key{kindOwn, c.Name, c.Serial}
		if c.Authority {
			k.kind = kindAuthority
		}
		if at, seen := ends[k]; !seen || c.Expires.Before(at) {
			ends[k] = c.Expires
		}
	}
	for k, at := range ends {
		s.Time(f, at, k.kind, k.name, k.serial)
	}
}

// A RevocationList is the one that is in use for an authority.
type RevocationList struct {
	Authority    string
	Issued, Next time.Time
	Certificates int
}

// RevocationLists reports lists by the name of their authority. Of two that have the
// same name it is the one that ends first.
func (s Scrape) RevocationLists(next, issued, size *Family, list []RevocationList) {
	first := map[string]RevocationList{}
	for _, l := range list {
		if o, seen := first[l.Authority]; !seen || l.Next.Before(o.Next) {
			first[l.Authority] = l
		}
	}
	for _, l := range first {
		s.Time(next, l.Next, l.Authority)
		s.Time(issued, l.Issued, l.Authority)
		s.Set(size, float64(l.Certificates), l.Authority)
	}
}
