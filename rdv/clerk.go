package rdv

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/netip"
	"slices"
	"time"

	"campagnol/rdv/channel"
)

// An Authority is the VPN's authority, in this process. One goroutine calls it, so
// that its methods may take their time, but not at the cost of each other.
type Authority interface {
	// Answer returns the answer to a request of somebody at from, of at most
	// wire.MaxApply bytes; an empty one is none. The same request may come again.
	Answer(now time.Time, from netip.AddrPort, request []byte) []byte

	// Objects returns what all members should have. It is asked every two seconds.
	Objects(now time.Time) ([]Object, error)
}

const (
	// objectsInterval is how often the authority in this process is asked for its
	// objects.
	objectsInterval = 2 * time.Second

	// maxRequests is how many requests wait for the authority in this process.
	maxRequests = 64
)

// A request is one to the authority in this process.
type request struct {
	id   uint32
	from netip.AddrPort
	data []byte
}

// An answer is one of the authority in this process.
type answer struct {
	id   uint32
	data []byte
}

// errHash says that an object is not what its name says.
var errHash = errors.New("rdv: the object is not the one that was offered: its hash is another")

// clerk does what takes longer than control may, until control has ended: it asks the
// authority in this process, checks objects, and keeps them on disk. It is one
// goroutine, so that work that comes from the network takes one processor at most.
func (s *Server) clerk() {
	ctx := context.Background()
	var tick <-chan time.Time
	if s.cfg.Authority != nil {
		ticker := time.NewTicker(objectsInterval)
		defer ticker.Stop()
		tick = ticker.C
		s.collect(ctx, time.Now())
	}
	for {
		select {
		case o := <-s.offers:
			s.receiveObject(ctx, time.Now(), o)
		case r := <-s.requests:
			a := answer{r.id, s.cfg.Authority.Answer(time.Now(), r.from, r.data)}
			select {
			case s.answers <- a:
			case <-s.stopped:
				return
			}
		case <-tick:
			s.collect(ctx, time.Now())
		case <-s.stopped:
			return
		}
	}
}

// offer hands an object to the clerk. If that has too much to do, it is lost: the
// authority offers it again with the next one.
func (s *Server) offer(o Offered) {
	select {
	case s.offers <- o:
	default:
		s.stats.objectsLost.Add(1)
	}
}

// ask hands a request to the clerk.
func (s *Server) ask(id uint32, from netip.AddrPort, data []byte) bool {
	select {
	case s.requests <- request{id, from, data}:
		return true
	default:
		return false
	}
}

// receiveObject takes an object from the authority at the other end of a channel.
func (s *Server) receiveObject(ctx context.Context, now time.Time, o Offered) {
	if sha256.Sum256(o.Content) != o.Hash {
		s.logRefused(ctx, o.From, errHash)
		return
	}
	if err := s.take(ctx, now, Object{o.Kind, o.Content}, o.From); err != nil {
		s.logRefused(ctx, o.From, err)
	}
}

// take takes an object, and keeps it.
func (s *Server) take(ctx context.Context, now time.Time, o Object, from string) error {
	changed, err := s.library.take(now, o, from)
	if err != nil {
		return err
	}
	if !changed {
		return nil
	}
	s.stats.objectsTaken.Add(1)
	if err := s.cfg.State.save(s.library.received()); err != nil {
		s.log.WarnContext(ctx, "The objects for clients are forgotten when the server ends", "err", err)
	}
	return nil
}

// ourselves is the name of the authority in this process, for the log.
const ourselves = "the authority of this server"

// bulletinsFirst returns a list with bulletins before all else: one may name the
// authority that has signed a revocation list.
func bulletinsFirst[T any](list []T, kind func(T) channel.ObjectKind) []T {
	rank := func(o T) int {
		if kind(o) == channel.Bulletin {
			return 0
		}
		return 1
	}
	return slices.SortedStableFunc(slices.Values(list), func(a, b T) int { return rank(a) - rank(b) })
}

// collect takes the objects of the authority in this process. What is wrong with one
// is said once, and may be over later: the files may name another CA.
func (s *Server) collect(ctx context.Context, now time.Time) {
	objects, err := s.cfg.Authority.Objects(now)
	if err != nil {
		if text := err.Error(); text != s.collectError {
			s.collectError = text
			s.log.WarnContext(ctx, "The authority has no objects for clients", "err", err)
		}
		return
	}
	s.collectError = ""
	refused := map[[sha256.Size]byte]bool{}
	for _, o := range bulletinsFirst(objects[:min(len(objects), channel.MaxObjects)], func(o Object) channel.ObjectKind { return o.Kind }) {
		err := s.take(ctx, now, o, ourselves)
		if err == nil {
			continue
		}
		hash := sha256.Sum256(o.Content)
		if refused[hash] = true; !s.refused[hash] {
			s.logRefused(ctx, ourselves, err)
		}
	}
	s.refused = refused
}
