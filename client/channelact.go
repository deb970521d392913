package client

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"campagnol/rdv/channel"
)

type chanState uint8

const (
	chanOff      chanState = iota
	chanWaiting            // until next
	chanKnocking           // KNOCKs are out
	chanShaking            // the handshake runs
	chanJoining            // REGISTER is out
	chanUp                 // a link stands, nothing is to be done
)

// A noChannel is why there was no channel last.
type noChannel struct {
	err error
	at  time.Time
}

// A chanOut is what the machine wants to be done.
type chanOut struct {
	act     chanAct
	data    []byte          // of actSend: a datagram; of actShake: one with records; of others: what they bring
	cookies []cookie        // of actBegin and actCookies
	msg     channel.Message // of actPeer, actReject, actIntroduce, actRelayed and actServe
	vpn     netip.Addr      // likewise: who it is about
	err     error           // of actRefused and actDown; of actAnswer: there is no answer
	link    *link           // of actUp; the machine may have lost it already; of actServe; of actSend: nil is the gate
	fresh   bool            // of actUp: no link stood before
	object  channel.Object  // of actObject, whose content data is
	id      uint32          // of the request that actAnswer, actList and actServe are about
}

type chanAct uint8

const (
	actSend      chanAct = iota + 1 // a datagram to the RDV
	actBegin                        // a handshake, with cookies
	actCookies                      // the handshake's cookies are others
	actShake                        // a datagram for the handshake
	actAbandon                      // the handshake
	actClear                        // register in clear
	actQuiet                        // no longer in clear
	actTrying                       // to be reported: a round begins
	actUp                           // to be reported: registered
	actDown                         // to be reported: the link has ended
	actRefused                      // to be reported: no channel
	actSilent                       // to be reported: no PONGs
	actBack                         // to be reported: PONGs again
	actPeer                         // the RDV tells where a peer is
	actReject                       // the RDV does not tell it
	actIntroduce                    // the RDV tells who asks for us
	actObject                       // the RDV has brought what all members should have
	actUseless                      // to be reported: what the RDV has brought is not what it said
	actAnswer                       // of the authority, or why there is none
	actList                         // who is there, a piece; without a type: it does not come
	actRelayed                      // credentials for the RDV's relay, or why there are none; without a type: no answer
	actServe                        // the RDV has a request to the authority that we are
)

// Why there is no channel.
var (
	errNoKnock   = errors.New("no answer")
	errNoChannel = errors.New("it has no authenticated channel")
	errNoAdmit   = errors.New("it does not answer the handshake")
	errNoJoin    = errors.New("it does not answer the registration")
	errProtocol  = errors.New("it does not speak " + channel.Protocol)
	errSilent    = errors.New("it no longer answers")
	errClosed    = errors.New("it has closed the channel")
)

// A RefusedError says that the RDV has refused a request.
type RefusedError struct {
	Reason channel.Reason
	Text   string // for people; the RDV's
}

// Code is what the refusal is called in docs/refusals.md.
func (e *RefusedError) Code() string {
	if c := rdvCodes[e.Reason]; c != "" {
		return c
	}
	return rdvOther
}

func (e *RefusedError) Error() string {
	if e.Text == "" || e.Text == e.Reason.String() {
		return "refused: " + e.Reason.String()
	}
	return fmt.Sprintf("refused: %v: %s", e.Reason, e.Text)
}
