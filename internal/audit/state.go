package audit

import (
	"maps"
	"slices"
	"time"
)

// A State is what a program goes by when it decides whom to believe.
type State struct {
	Serial  string // of the program's own certificate
	Expires time.Time

	Lists    map[string]string // numbers of revocation lists, by authority
	Bulletin string            // number; "": none
	Policy   string            // its name and what else tells it from others; "": none

	Trusted, Retired []string // authorities, as bulletins say
}

// Changes returns the records about what is otherwise in a state than in the one before.
func (s *State) Changes(before *State) (list []Record) {
	if s.Serial != before.Serial {
		list = append(list, Record{Event: OwnCertificate, Serial: s.Serial, Expires: s.Expires})
	}
	for _, authority := range slices.Sorted(maps.Keys(s.Lists)) {
		if number := s.Lists[authority]; before.Lists[authority] != number {
			list = append(list, Record{Event: ListChanged, Authority: authority, Number: number})
		}
	}
	for _, authority := range slices.Sorted(maps.Keys(before.Lists)) {
		if _, has := s.Lists[authority]; !has {
			list = append(list, Record{Event: ListChanged, Authority: authority, Reason: "there is none any more"})
		}
	}
	if s.Bulletin != before.Bulletin {
		r := Record{Event: BulletinChanged, Number: s.Bulletin}
		if s.Bulletin == "" {
			r.Reason = "there is none any more"
		}
		list = append(list, r)
	}
	for _, authority := range s.Trusted {
		if !slices.Contains(before.Trusted, authority) {
			list = append(list, Record{Event: AuthorityTrusted, Authority: authority})
		}
	}
	for _, authority := range s.Retired {
		if !slices.Contains(before.Retired, authority) {
			list = append(list, Record{Event: AuthorityRetired, Authority: authority})
		}
	}
	if s.Policy != before.Policy {
		r := Record{Event: PolicyChanged, Reason: s.Policy}
		if s.Policy == "" {
			r.Reason = "there is none any more"
		}
		list = append(list, r)
	}
	return list
}
