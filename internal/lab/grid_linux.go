package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// How a cell is tried.
const (
	gridInterval = 10 * time.Millisecond // between pings
	gridPatience = 5 * time.Second       // for a first answer
	gridBefore   = time.Second           // of pings before the NAT's address changes
	gridAfter    = 4 * time.Second       // and after it
	gridTimeout  = time.Minute           // for a cell
)

// msgExamined is what a client says once it knows what NAT it is behind.
const msgExamined = "The way to the Internet was examined"

// newGridKernel returns how a cell is tried in the kernel, and what removes what that
// needs.
func newGridKernel(ctx context.Context, o *GridOptions) (try func(context.Context, GridCell) GridResult, done func(), err error) {
	if err := Preflight(); err != nil {
		return nil, nil, err
	}
	done = func() {}
	server := o.Server
	if server == "" {
		dir, err := os.MkdirTemp("", "campagnol-grid-")
		if err != nil {
			return nil, nil, fmt.Errorf("lab: %w", err)
		}
		done = func() { os.RemoveAll(dir) }
		program, err := FindBinary(ctx, ServerPackage, dir)
		if err != nil {
			done()
			return nil, nil, err
		}
		server = program.Path
	}
	demo := DemoOptions{Peers: 2, RDVMode: "strict", Client: o.Client, Server: server, Certify: o.Certify}
	return func(ctx context.Context, c GridCell) GridResult {
		ctx, cancel := context.WithTimeoutCause(ctx, gridTimeout, fmt.Errorf("%v have passed", gridTimeout))
		defer cancel()
		g := &gridLab{kernelWorld: &kernelWorld{o: demo, procs: map[int]*Process{}}, r: GridResult{GridCell: c, Reply: Lost, Recovery: Lost}}
		err := g.try(ctx)
		if err != nil {
			err = fmt.Errorf("%w\n%s\n%s\n%s", err, g.Tail(theServer), g.Tail(0), g.Tail(1))
		}
		g.r.Err = errors.Join(err, g.Close())
		return g.r
	}, done, nil
}

// A gridLab is the laboratory of one cell.
type gridLab struct {
	*kernelWorld
	outer *NAT // whose address changes; nil: there is none
	r     GridResult
}

// build makes hosts and NATs.
func (g *gridLab) build(ctx context.Context) (err error) {
	c := g.r.GridCell
	if c.Shape == Apart {
		_, err := g.Build(ctx, []Kind{c.A, c.B})
		if c.A != None && err == nil {
			g.outer = g.nats[0]
		}
		return err
	}
	if _, err := g.Build(ctx, nil); err != nil {
		return err
	}
	first, err := g.lab.AddNAT("nat1", NATOptions{Kind: c.A, CarrierGrade: c.Shape == Doubled})
	if err != nil {
		return err
	}
	if c.Shape == Shared {
		return errors.Join(g.host(0, first), g.host(1, first))
	}
	g.outer = first
	inner, err := g.lab.AddNAT("home1", NATOptions{Kind: c.A, Behind: first})
	if err != nil {
		return err
	}
	second, err := g.lab.AddNAT("nat2", NATOptions{Kind: c.B})
	if err != nil {
		return err
	}
	return errors.Join(g.host(0, inner), g.host(1, second))
}

// host puts a peer behind a NAT.
func (g *gridLab) host(peer int, behind *NAT) error {
	h, err := g.lab.AddHost(nameOf(peer), behind)
	if err == nil {
		g.peers = append(g.peers, h)
	}
	return err
}

// try finds out what becomes of the cell.
func (g *gridLab) try(ctx context.Context) error {
	if err := g.build(ctx); err != nil {
		return err
	}
	if err := g.start(ctx); err != nil {
		return err
	}
	r, err := g.Ping(ctx, 0, 1, PingOptions{Count: int(gridPatience / gridInterval), Interval: gridInterval, Patience: time.Second})
	if err != nil {
		return err
	}
	if g.r.Reply = r.Reply(); g.r.Reply == Lost || g.outer == nil {
		return nil
	}
	return g.renumber(ctx)
}

// start starts the programs, and waits until the peers know where they are.
func (g *gridLab) start(ctx context.Context) error {
	if err := g.Certify(ctx); err != nil {
		return err
	}
	if _, err := g.StartServer(ctx); err != nil {
		return err
	}
	if _, err := g.Await(ctx, theServer, time.Time{}, Pattern{Message: msgListening}); err != nil {
		return err
	}
	for i := range g.peers {
		if err := g.StartClient(ctx, i); err != nil {
			return err
		}
	}
	for i := range g.peers {
		for _, msg := range []string{msgRegistered, msgExamined} {
			if _, err := g.Await(ctx, i, time.Time{}, Pattern{Message: msg}); err != nil {
				return err
			}
		}
	}
	return nil
}

// renumber gives the NAT another address while pings are sent.
func (g *gridLab) renumber(ctx context.Context) error {
	type end struct {
		r   PingResult
		err error
	}
	ended := make(chan end, 1)
	go func() {
		r, err := g.Ping(ctx, 0, 1, PingOptions{Count: int((gridBefore + gridAfter) / gridInterval), Interval: gridInterval, Patience: time.Second})
		ended <- end{r, err}
	}()
	select {
	case <-time.After(gridBefore):
	case <-ctx.Done():
	}
	_, err := g.outer.Renumber()
	e := <-ended
	if err != nil || e.err != nil {
		return errors.Join(err, e.err)
	}
	g.r.Recovery = e.r.Gap(gridInterval)
	return nil
}
