package client

import (
	"testing"
	"time"

	"campagnol/tunnel/record"
)

// TestAnswerBeforeIntroduction: while an RDV is asked for a peer with which there is still
// a session, nothing is known of where the peer may be. Datagrams from where it was, which
// anybody can send in its name, that look like parts of a handshake change nothing.
func TestAnswerBeforeIntroduction(t *testing.T) {
	c := newCrowd(t, &deafConn{closed: make(chan struct{})}, 1, 0, nil).client
	if err := c.do(t.Context(), func(now time.Time) {
		p := c.peersInOrder()[0]
		asking := &try{asked: true, began: now, until: now.Add(askPatience)}
		p.try = asking
		session, at := p.session, p.at
		for typ := range byte(21) {
			for _, content := range []record.ContentType{record.Handshake, record.Alert, record.ChangeCipherSpec} {
				b := []byte{byte(content), 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, byte(typ), 0, 12, typ, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
				c.handleRecords(now, at, b)
				if p.try != asking || p.session != session || p.at != at || len(asking.running) != 0 {
					t.Fatalf("content %d, message %d: the state of the peer has changed", content, typ)
				}
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	s, err := c.Status(t.Context())
	if err != nil || len(s.Peers) != 1 || s.Peers[0].Since.IsZero() {
		t.Errorf("%+v, %v; want a client that goes on with its peer", s.Peers, err)
	}
}
