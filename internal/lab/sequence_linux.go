package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"campagnol/internal/lab/program"
)

// SequenceOptions say what a [Sequence] sends. The zero value of a field takes its
// default.
type SequenceOptions struct {
	Interface string  // out of which the sender sends; default tun0
	Port      uint16  // of the receiver; default 7000
	Rate      float64 // datagrams per second; default 200
	Size      int     // of each, in bytes; default 200
}

// A Sequence is a stream of datagrams with numbers and times, by which is found out what
// a network loses, doubles and reorders. It is owned by one goroutine.
type Sequence struct {
	sender   *Sender
	receiver *Receiver
}

// StartSequence begins to send from a node to an address of another. The running binary
// has to call [program.Main] first of all.
func StartSequence(ctx context.Context, from, to *Node, at netip.Addr, label string, o SequenceOptions) (*Sequence, error) {
	if o.Interface == "" {
		o.Interface = "tun0"
	}
	if o.Port == 0 {
		o.Port = 7000
	}
	if o.Rate == 0 {
		o.Rate = 200
	}
	if o.Size == 0 {
		o.Size = 200
	}
	r, err := to.StartReceiver(ctx, "in."+label, program.ReceiverOptions{Port: o.Port})
	if err != nil {
		return nil, err
	}
	s, err := from.StartSender(ctx, "out."+label, program.SenderOptions{
		Interface: o.Interface, Groups: []netip.Addr{at}, Port: o.Port, Rate: o.Rate, Size: o.Size, TTL: 64,
	})
	if err != nil {
		return nil, errors.Join(err, r.Stop())
	}
	return &Sequence{s, r}, nil
}

// sequencePatience is how long datagrams may be on their way when the sender ends.
const sequencePatience = time.Second

// End ends the sequence and says what became of it.
func (s *Sequence) End(ctx context.Context) (program.Tally, error) {
	sent, err := s.sender.Pause(ctx)
	if err != nil {
		return program.Tally{}, err
	}
	if sent.Failed > 0 {
		return program.Tally{}, fmt.Errorf("lab: the kernel has not sent %d of %d datagrams", sent.Failed, sent.Count)
	}
	var t program.Tally
	for deadline := time.Now().Add(sequencePatience); ; {
		got, err := s.receiver.Got(ctx)
		if err != nil {
			return t, err
		}
		if t = program.NewTally(sent, got); t.Lost == 0 || time.Now().After(deadline) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	return t, errors.Join(s.sender.Stop(), s.receiver.Stop())
}
