package turn

import (
	"errors"
	"fmt"
	"net/netip"
)

// Why an allocation has ended, or a datagram was not sent.
var (
	// ErrSilent says that the relay answers no more, or never has.
	ErrSilent = errors.New("turn: the relay does not answer")

	// ErrExpired says that the relay has ended the allocation.
	ErrExpired = errors.New("turn: the relay has ended the allocation")

	// ErrFamily is what Send returns for a peer of the other address family than the
	// relayed address.
	ErrFamily = errors.New("turn: the relayed address is of the other family than the peer's")

	// ErrForbidden is what Send returns for a peer to which the relay does not relay.
	ErrForbidden = errors.New("turn: the relay does not relay to this peer")

	// ErrPeers is what Send and Permit return for one peer too many.
	ErrPeers = errors.New("turn: too many peers at once")

	// ErrTooLong is what Send returns for a datagram that fits in no UDP datagram.
	ErrTooLong = errors.New("turn: datagram too long to be relayed")

	errAnswer = errors.New("turn: the relay's answer names no relayed address")
)

// Codes of errors that a caller may want to tell apart (RFC 8656 section 19).
const (
	CodeTryAlternate = 300
	CodeUnauthorized = 401
	CodeForbidden    = 403
	CodeMismatch     = 437 // an allocation is there already, or there is none: take another socket
	CodeStaleNonce   = 438
	CodeFamily       = 440
	CodeCredentials  = 441 // not those that the allocation was made with
	CodeQuota        = 486
	CodeCapacity     = 508
)

// An Error is a refusal of a relay.
type Error struct {
	Server netip.AddrPort
	What   string // was refused: "allocate", "refresh"
	Code   int
}

func (e *Error) Error() string {
	s := fmt.Sprintf("turn: relay %v refuses to %s: %d", e.Server, e.What, e.Code)
	if text := meaning[e.Code]; text != "" {
		s += " (" + text + ")"
	}
	return s
}

// meaning is what codes say, for people. What the relay says of it is not repeated: it
// may be anything.
var meaning = map[int]string{
	CodeTryAlternate: "ask another relay",
	400:              "bad request, or unknown user",
	CodeUnauthorized: "wrong user or password",
	CodeForbidden:    "forbidden",
	420:              "unknown attribute",
	CodeMismatch:     "no such allocation, or one that is there already",
	CodeStaleNonce:   "the nonce is too old",
	CodeFamily:       "no addresses of this family",
	CodeCredentials:  "not the credentials of the allocation",
	442:              "transport protocol not supported",
	443:              "peer of the other address family",
	CodeQuota:        "the user has too many allocations",
	500:              "server error",
	CodeCapacity:     "the relay is full",
}

// Hint says what may help.
func (e *Error) Hint() string {
	switch e.Code {
	case 400, CodeUnauthorized, CodeCredentials:
		return "check user and password; those of a rendezvous server are good for an hour, if its clock and this one agree"
	case CodeQuota, CodeCapacity:
		return "the relay's limits are its operator's: campagnol_rdv has --relay-per-client and --relay-clients"
	case CodeFamily:
		return "the relay has no address of this family; take one of the other family"
	}
	return ""
}
