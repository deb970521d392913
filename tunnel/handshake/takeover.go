package handshake

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/gob"
	"errors"
	"fmt"
	"hash"
	"slices"

	"campagnol/tunnel/record"

	"github.com/pion/dtls/v3/pkg/crypto/prf"
)

// An exportedState is what we need of pion's serialized state. gob matches
// fields by name; a field that is missing stays zero, which check notices.
type exportedState struct {
	LocalEpoch       uint16
	RemoteEpoch      uint16
	LocalRandom      [32]byte
	RemoteRandom     [32]byte
	CipherSuiteID    uint16
	MasterSecret     []byte
	SequenceNumber   uint64
	PeerCertificates [][]byte
	IsClient         bool

	NegotiatedProtocol string

	LocalConnectionID  []byte // that we have chosen; empty: the peer sends none
	RemoteConnectionID []byte // that we send; empty: none
}

// check reports what would make the state unusable.
func (s *exportedState) check(server bool, id *record.ID) error {
	switch {
	case s.LocalEpoch != 1 || s.RemoteEpoch != 1:
		return fmt.Errorf("epochs %d and %d, not 1", s.LocalEpoch, s.RemoteEpoch)
	case s.LocalRandom == [32]byte{} || s.RemoteRandom == [32]byte{}:
		return errors.New("no randoms")
	case len(s.MasterSecret) != 48: // RFC 5246 section 8.1
		return fmt.Errorf("a master secret of %d bytes", len(s.MasterSecret))
	case len(s.PeerCertificates) == 0:
		return errors.New("no certificate of the peer")
	case s.IsClient == server:
		return errors.New("the other role")
	case s.SequenceNumber == 0: // the Finished had number 0 at least
		return errors.New("no sequence number")
	case len(s.LocalConnectionID) > 0 && (id == nil || !bytes.Equal(s.LocalConnectionID, id[:])):
		return errors.New("a connection ID that is not ours")
	case len(s.RemoteConnectionID) > 0 && id == nil:
		return errors.New("a connection ID of the peer's, of which we have not heard")
	}
	return nil
}

// takeOver makes the keys ours. See the package comment for the order of steps.
func (h *Handshake) takeOver() (*Result, error) {
	h.pipe.swallow()
	defer h.conn.Close()
	st, ok := h.conn.ConnectionState()
	if !ok {
		return nil, fmt.Errorf("%w: no state", ErrTakeOver)
	}
	blob, err := st.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTakeOver, err)
	}
	var s exportedState
	if err := gob.NewDecoder(bytes.NewReader(blob)).Decode(&s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTakeOver, err)
	}
	if err := s.check(h.cfg.Server, h.cfg.ConnectionID); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTakeOver, err)
	}
	return h.result(&s)
}

// result makes a Result of s, whose Opener it proves on the peer's Finished.
func (h *Handshake) result(s *exportedState) (*Result, error) {
	finished, lastFlight, next := h.pipe.handOver()
	if s.SequenceNumber < next { // pion would use a number again that has left
		return nil, fmt.Errorf("%w: next sequence number %d, but %d has left", ErrTakeOver, s.SequenceNumber, next-1)
	}
	r := &Result{
		Suite:        record.Suite(s.CipherSuiteID),
		Certificates: s.PeerCertificates,
		Protocol:     s.NegotiatedProtocol,
	}
	if h.cfg.Server {
		r.LastFlight = lastFlight
	}
	if len(s.LocalConnectionID) > 0 {
		r.ConnectionID = h.cfg.ConnectionID
	}
	var err error
	if r.Seal, r.Open, err = h.keys(s, r.Suite); err != nil {
		return nil, err
	}
	// Another Opener with the same keys, for records that need not be a Finished: the
	// session is to find those as new.
	_, trial, err := h.keys(s, r.Suite)
	if err != nil {
		return nil, err
	}
	if !h.prove(r.Open, trial, finished) {
		return nil, ErrTakeOver
	}
	return r, nil
}

// prove reports whether a Finished is among some records: copies of what was shown to
// pion as such. Those that are one are opened for the session, too.
func (h *Handshake) prove(open, trial *record.Opener, finished [][]byte) (proven bool) {
	var tmp record.Scratch
	for _, b := range finished {
		hd, rec, _, err := record.Split(bytes.Clone(b))
		if err != nil {
			continue
		}
		if _, err := trial.Open(hd, rec, &tmp); err != nil || tmp.Type() != record.Handshake {
			continue
		}
		proven = true
		hd, rec, _, _ = record.Split(bytes.Clone(b))
		open.Open(hd, rec, &tmp)
		h.pipe.mu.Lock()
		h.pipe.forgetEarly(b)
		h.pipe.mu.Unlock()
	}
	return proven
}

// handOver returns what the pipe kept for the take-over.
func (p *pipe) handOver() (finished, lastFlight [][]byte, nextSeq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.finished), p.lastFlight, p.nextSeq
}

// keys makes what seals and opens the session's records, with the connection IDs that
// were agreed.
func (h *Handshake) keys(s *exportedState, suite record.Suite) (*record.Sealer, *record.Opener, error) {
	seal, open, err := keys(s, suite)
	if err != nil {
		return nil, nil, err
	}
	if err := seal.Identify(s.RemoteConnectionID); err != nil {
		return nil, nil, fmt.Errorf("handshake: %w", err)
	}
	if len(s.LocalConnectionID) > 0 {
		open.Expect(*h.cfg.ConnectionID)
	}
	return seal, open, nil
}

// keys derives both directions' keys (RFC 5246 section 6.3).
func keys(s *exportedState, suite record.Suite) (*record.Sealer, *record.Opener, error) {
	if !suite.Known() {
		return nil, nil, fmt.Errorf("handshake: %v was agreed but is not supported", suite)
	}
	clientRandom, serverRandom := s.LocalRandom[:], s.RemoteRandom[:]
	if !s.IsClient {
		clientRandom, serverRandom = serverRandom, clientRandom
	}
	k, err := prf.GenerateEncryptionKeys(s.MasterSecret, clientRandom, serverRandom,
		0, suite.KeyLen(), suite.IVLen(), prfHash(suite))
	if err != nil {
		return nil, nil, fmt.Errorf("handshake: %w", err)
	}
	ourKey, ourIV, theirKey, theirIV := k.ClientWriteKey, k.ClientWriteIV, k.ServerWriteKey, k.ServerWriteIV
	if !s.IsClient {
		ourKey, ourIV, theirKey, theirIV = theirKey, theirIV, ourKey, ourIV
	}
	seal, err := record.NewSealer(suite, ourKey, ourIV, s.LocalEpoch, s.SequenceNumber)
	if err != nil {
		return nil, nil, err
	}
	open, err := record.NewOpener(suite, theirKey, theirIV, s.RemoteEpoch)
	return seal, open, err
}

// prfHash returns the hash of the suite's pseudo-random function (RFC 5289).
func prfHash(s record.Suite) func() hash.Hash {
	switch s {
	case record.ECDHE_ECDSA_AES256_GCM, record.ECDHE_RSA_AES256_GCM:
		return sha512.New384
	}
	return sha256.New
}
