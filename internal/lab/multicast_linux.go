package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"campagnol/internal/lab/program"
)

// A Receiver is a receiver of groups as a process on a node.
type Receiver struct {
	*program.Receiver
	*Process
}

// A Sender is a sender to groups as a process on a node.
type Sender struct {
	*program.Sender
	*Process
}

// A Router is a multicast router as a process on a node.
type Router struct {
	*program.Router
	*Process
}

// StartReceiver starts a receiver of datagrams to a port, which has joined
// nothing yet. The running binary has to call [program.Main] first of all, as
// for the other programs.
func (n *Node) StartReceiver(ctx context.Context, label string, o program.ReceiverOptions) (*Receiver, error) {
	o.Control = n.controlPath(label)
	r, p, err := startControlled(ctx, n, label, o, o.Control, program.NewReceiver)
	if p == nil {
		return nil, err
	}
	return &Receiver{r, p}, err
}

// StartSender starts a sender.
func (n *Node) StartSender(ctx context.Context, label string, o program.SenderOptions) (*Sender, error) {
	o.Control = n.controlPath(label)
	s, p, err := startControlled(ctx, n, label, o, o.Control, program.NewSender)
	if p == nil {
		return nil, err
	}
	return &Sender{s, p}, err
}

// StartRouter starts a multicast router, of which a node can have one.
func (n *Node) StartRouter(ctx context.Context, label string, o program.RouterOptions) (*Router, error) {
	o.Control = n.controlPath(label)
	r, p, err := startControlled(ctx, n, label, o, o.Control, program.NewRouter)
	if p == nil {
		return nil, err
	}
	return &Router{r, p}, err
}

// startControlled starts a program with options o, and reaches it at its control
// socket. The process is nil if it was not started.
func startControlled[T any](ctx context.Context, n *Node, label string, o programOptions, control string,
	reach func(context.Context, string) (T, error)) (t T, p *Process, err error) {
	if p, err = n.startProgram(label, o); err != nil {
		return t, nil, err
	}
	ctx, cancel := p.untilExit(ctx)
	defer cancel()
	t, err = reach(ctx, control)
	return t, p, err
}

// programOptions are those of one of the programs.
type programOptions interface{ Args() ([]string, error) }

// startProgram starts one of the programs in our own binary.
func (n *Node) startProgram(label string, o programOptions) (*Process, error) {
	args, err := o.Args()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, n.wrap("start "+label, err)
	}
	return n.Start(label, self, args...)
}

// controlPath returns the file of a program's socket.
func (n *Node) controlPath(label string) string {
	return filepath.Join(n.lab.Dir(), n.name+"-"+label+".sock")
}

// untilExit returns a context that ends with the process, for its reason.
func (p *Process) untilExit(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	watching := make(chan struct{})
	go func() {
		select {
		case <-p.exited:
			cancel(fmt.Errorf("lab: %v ended (%s) and said:\n%s", p, p.status(), p.Tail()))
		case <-watching:
		}
	}()
	return ctx, func() {
		close(watching)
		cancel(nil)
	}
}
