package punch

import (
	"slices"
	"time"
)

// Bounds on the candidates of one attempt.
const (
	maxCandidates = 12 // named by the RDV, by the primary socket
	maxByOther    = 4  // likewise, by all other sockets
	maxReflexive  = 4  // seen as the source of a punch only
)

// Try adds candidates that the RDV has named, the likeliest first, which the primary
// socket tries, and gives the attempt new time. When there are too many, those make room
// that were never heard and are not named again. It does nothing once the attempt has
// failed.
func (a *Attempt) Try(now time.Time, candidates ...Candidate) { a.TryBy(now, nil, candidates...) }

// TryBy is Try by another socket, nil being the primary one.
func (a *Attempt) TryBy(now time.Time, conn Conn, candidates ...Candidate) {
	if a.state == Failed {
		return
	}
	for _, n := range candidates {
		at := Endpoint{n.Addr, conn}
		c := a.find(at)
		if !n.Addr.IsValid() || n.Addr.Port() == 0 || (c == nil || c.reflexive) && !a.makeRoom(conn, candidates) {
			continue
		}
		if c = a.find(at); c == nil { // room was made in the same slice
			a.candidates = append(a.candidates, candidate{at: at})
			c = &a.candidates[len(a.candidates)-1]
		}
		c.kind, c.scope, c.rejected, c.reflexive = n.Kind, n.Scope, false, false
	}
	a.volleys, a.rest, a.next = 0, 0, now
	a.deadline = now.Add(patience)
}

// makeRoom reports whether there is room for one more named candidate by a socket, and
// makes some at the cost of one that is not in list.
func (a *Attempt) makeRoom(conn Conn, list []Candidate) bool {
	most := maxCandidates
	if conn != nil {
		most = maxByOther
	}
	if a.named(conn == nil) < most {
		return true
	}
	i := slices.IndexFunc(a.candidates, func(c candidate) bool {
		again := c.at.Conn == conn && slices.ContainsFunc(list, func(n Candidate) bool { return n.Addr == c.at.Addr })
		return !c.reflexive && !c.heard && !again && (c.at.Conn == nil) == (conn == nil)
	})
	if i < 0 {
		return false
	}
	a.candidates = slices.Delete(a.candidates, i, i+1)
	return true
}

// Knows reports whether at is one of the attempt's candidates.
func (a *Attempt) Knows(at Endpoint) bool { return a.find(at) != nil }

// Candidates returns where the peer may be.
func (a *Attempt) Candidates() []Endpoint {
	var list []Endpoint
	for i := range a.candidates {
		list = append(list, a.candidates[i].at)
	}
	return list
}

// Lost tells that a socket, which is not the primary one, is gone, and with it all
// candidates that it leads to.
func (a *Attempt) Lost(now time.Time, conn Conn) {
	if conn == nil {
		return
	}
	a.candidates = slices.DeleteFunc(a.candidates, func(c candidate) bool { return c.at.Conn == conn })
	if a.state == Open && a.path.Conn == conn {
		a.reopen(now)
	}
	a.rest = min(a.rest, len(a.candidates))
}

func (a *Attempt) find(at Endpoint) *candidate {
	for i := range a.candidates {
		if a.candidates[i].at == at {
			return &a.candidates[i]
		}
	}
	return nil
}

// elsewhere returns the candidate with the same address by another socket, or nil.
func (a *Attempt) elsewhere(at Endpoint) *candidate {
	for i := range a.candidates {
		if c := &a.candidates[i]; c.at.Addr == at.Addr && c.at.Conn != at.Conn {
			return c
		}
	}
	return nil
}

// named returns how many candidates are more than the source of a punch, by the primary
// socket or by all others.
func (a *Attempt) named(primary bool) int {
	n := 0
	for i := range a.candidates {
		if c := &a.candidates[i]; !c.reflexive && (c.at.Conn == nil) == primary {
			n++
		}
	}
	return n
}

// addReflexive adds the source of a punch. A symmetric NAT punches from a port
// that the RDV has never seen. When there are too many, the oldest that is not
// the path makes room: whoever floods us must not lock the peer out.
func (a *Attempt) addReflexive(at Endpoint) *candidate {
	if len(a.candidates)-a.named(true)-a.named(false) >= maxReflexive {
		oldest := slices.IndexFunc(a.candidates, func(c candidate) bool { return c.reflexive && c.at != a.path })
		a.candidates = slices.Delete(a.candidates, oldest, oldest+1)
	}
	c := candidate{at: at, kind: Reflexive, reflexive: true}
	if o := a.elsewhere(at); o != nil { // what is known of the peer there
		c.kind, c.scope, c.mark, c.marked = o.kind, o.scope, o.mark, o.marked
		c.mark.Heard = false // it has not said so here
	}
	a.candidates = append(a.candidates, c)
	return &a.candidates[len(a.candidates)-1]
}
