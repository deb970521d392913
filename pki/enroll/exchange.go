package enroll

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/netip"
)

// An Exchange is the host's side of an enrolment or a renewal. Its owner sends
// what Next returns, again and again at its own pace, and hands every answer to
// Take, until Done says that the exchange has ended or the owner loses patience.
// It is not safe for concurrent use.
type Exchange struct {
	rand   io.Reader
	head   head
	seal   func(h []byte) ([]byte, error)               // the body of a request
	open   func(h, body []byte) (piece []byte, ok bool) // the piece in an answer
	status status                                       // of answers that have a piece
	verify func(*Grant) (*Result, error)
	sealed bool // answers are authentic

	parts  assembly
	result *Result
	err    error // the exchange has failed
	doubt  error
	doubts int
}

// A Result is what an exchange has brought.
type Result struct {
	Key   crypto.Signer       // that of the certificate
	Chain []*x509.Certificate // the host's first

	// The rest comes with an enrolment only.
	Roots    []*x509.Certificate // authorities to trust
	Name     string
	Addrs    []netip.Addr // VPN addresses, of which one is in Network
	Network  netip.Prefix
	Network6 netip.Prefix // with one of Addrs in it; the zero Prefix: the VPN has none
	Server   string       // HOST:PORT of the rendezvous server
	Domain   string       // in which members have names; "": none
	CRLs     [][]byte     // DER, by one of Roots
	Bulletin []byte       // signed by one of Roots; nil: none
}

// Doubts: what an answer says that may come from anybody.
var (
	// ErrUnknown means that the authority does not know the invitation.
	ErrUnknown = errors.New("the authority does not know the invitation")

	// ErrBusy means that the authority has too much to do.
	ErrBusy = errors.New("the authority has too much to do")

	// ErrNotDue means that the authority has answered with the certificate that
	// the host has.
	ErrNotDue = errors.New("the authority sees no need for a new certificate yet")

	// ErrNoLater means that the authority has answered with a certificate that is
	// good for no longer than the one that the host has.
	ErrNoLater = errors.New("the answer has a certificate that ends no later than the one there is")

	// ErrUntrusted means that the certificate in the answer is by nobody whom the
	// host trusts: who has answered is not the authority, or has another key since.
	ErrUntrusted = errors.New("the answer has a certificate that no authority has signed which this host trusts")
)

// Next returns the request to send, in a slice of its own. Calling it again
// returns one that means the same.
func (e *Exchange) Next() []byte {
	h := e.head.append(make([]byte, 0, MaxSize))
	b, err := e.seal(h)
	if err != nil {
		e.fail(err)
	}
	return b
}

// Take takes an answer. What is not one to the last request, or cannot be
// believed, is ignored; its error is the end of the exchange. answer is borrowed.
func (e *Exchange) Take(answer []byte) error {
	if e.Done() {
		return e.err
	}
	h, body, ok := parseHead(answer)
	if !ok || h.id != e.head.id || h.offset != e.head.offset {
		return nil
	}
	switch status(h.what) {
	case statusUnknown:
		e.doubted(ErrUnknown)
	case statusBusy:
		e.doubted(ErrBusy)
	case e.status:
		if piece, ok := e.open(answer[:headSize], body); ok {
			e.takePiece(piece)
		}
	}
	return e.err
}

func (e *Exchange) takePiece(piece []byte) {
	whole := e.parts.take(piece)
	e.head.offset = uint32(len(e.parts.got)) // 0 when the answer is there, or has changed
	if whole == nil {
		return
	}
	grant, refusal, err := parseAnswer(whole)
	switch {
	case refusal != nil && refusal.Code == Later:
		e.doubted(refusal)
		return
	case refusal != nil:
		err = refusal
	case err == nil:
		e.result, err = e.verify(grant)
	}
	switch {
	case err == nil:
	case e.sealed:
		e.fail(err)
	default:
		e.doubted(err) // anybody may have said it
	}
}

func (e *Exchange) fail(err error) { e.err = err }

func (e *Exchange) doubted(err error) {
	e.doubt = err
	e.doubts++
}

// Done reports whether the exchange has ended.
func (e *Exchange) Done() bool { return e.result != nil || e.err != nil }

// Result returns what the exchange has brought, or why it has failed: a *Refusal
// if the authority has said so.
func (e *Exchange) Result() (*Result, error) {
	if e.result == nil && e.err == nil {
		return nil, errors.New("enroll: the exchange has not ended")
	}
	return e.result, e.err
}

// Doubt returns the last reason against the exchange that came with no proof that
// the authority has said it: [ErrUnknown], [ErrBusy], a *Refusal, or what was wrong
// with a certificate. It is for people who wait in vain; nil: none.
func (e *Exchange) Doubt() error { return e.doubt }

// Doubts counts what [Exchange.Doubt] returned, or would have: after one, whoever
// repeats a request should wait for longer.
func (e *Exchange) Doubts() int { return e.doubts }

// Fetched returns how many bytes of the answer are there. When it changes, the
// next request is due at once.
func (e *Exchange) Fetched() int { return len(e.parts.got) }

// parseCerts parses certificates.
func parseCerts(ders [][]byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for _, der := range ders {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("a certificate in the authority's answer cannot be read: %w", err)
		}
		certs = append(certs, c)
	}
	return certs, nil
}

// pool returns certificates as a pool.
func pool(certs []*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certs {
		p.AddCert(c)
	}
	return p
}

// chains returns the chains from the first certificate of chain to a root. Time
// does not matter, as the clock of a host may be wrong when it is set up: it is
// that at which the certificate begins.
func chains(chain, roots []*x509.Certificate) ([][]*x509.Certificate, error) {
	return chain[0].Verify(x509.VerifyOptions{
		Roots:         pool(roots),
		Intermediates: pool(chain[1:]),
		CurrentTime:   chain[0].NotBefore,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
}

// isKeyOf reports whether a certificate is for a key.
func isKeyOf(c *x509.Certificate, key crypto.Signer) bool {
	pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && pub.Equal(c.PublicKey)
}
