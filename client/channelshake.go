package client

import (
	"context"
	"crypto/tls"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"campagnol/punch"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
	"campagnol/tunnel/handshake"
	"campagnol/tunnel/record"
)

// channelMTU is the size of the largest datagram of the channel's handshake, in
// bytes, without the ADMIT that it travels in.
const channelMTU = 1200 - wire.AdmitHead

// shakeTime bounds a handshake with the RDV, which will not wait for longer either.
const shakeTime = 5 * time.Second

// A shakeConfig says how to make a handshake with the RDV.
type shakeConfig struct {
	conn        punch.Conn
	certificate tls.Certificate // ours
	verify      func(now time.Time, chain [][]byte) (ServerIdentity, error)
	suites      []record.Suite
	log         *slog.Logger
	ended       chan<- shakeEnd
	under       int // which settings it begins under: Client.changes
}

// A shaking is a handshake with the RDV under way.
type shaking struct {
	hs     *handshake.Handshake
	gates  atomic.Pointer[[]gateway] // for the handshake's goroutine
	under  int                       // which settings it began under: Client.changes
	server ServerIdentity            // by verification; before the end it is the handshake's
	cancel context.CancelFunc
	by     punch.Conn // the stream that it goes over; nil: UDP
}

// A shakeEnd is how a handshake with the RDV ended.
type shakeEnd struct {
	run    *shaking
	result *handshake.Result
	err    error
}

// startShaking starts a handshake in a goroutine of wg.
func startShaking(ctx context.Context, wg *sync.WaitGroup, cfg shakeConfig, gates []gateway) (*shaking, error) {
	r := &shaking{under: cfg.under}
	r.admit(gates)
	var err error
	r.hs, err = handshake.New(handshake.Config{
		Certificate: cfg.certificate,
		Verify: func(chain [][]byte) (err error) {
			r.server, err = cfg.verify(time.Now(), chain)
			return err
		},
		Suites:    cfg.suites,
		Protocols: []string{channel.Protocol},
		MTU:       channelMTU,
		Timeout:   shakeTime,
		Log:       cfg.log,
	}, func(b []byte) {
		// Straight to the socket: control may be the one that waits for this.
		for _, g := range *r.gates.Load() {
			admit := wire.GateMessage{Type: wire.Admit, Cookie: g.cookie, Data: b}.Append(nil)
			cfg.conn.Send([]punch.Datagram{{Addr: g.way, Data: admit}})
		}
	})
	if err != nil {
		return nil, err
	}
	shakeCtx, cancel := context.WithCancel(ctx)
	r.cancel = cancel
	wg.Go(func() {
		result, err := r.hs.Run(shakeCtx)
		select {
		case cfg.ended <- shakeEnd{r, result, err}:
		case <-ctx.Done():
		}
	})
	return r, nil
}

// admit makes the handshake's datagrams take these ways.
func (r *shaking) admit(gates []gateway) { r.gates.Store(&gates) }

// link returns what a handshake has led to.
func (e *shakeEnd) link() (*link, error) {
	switch {
	case e.err != nil:
		return nil, e.err
	case e.result.Protocol != channel.Protocol:
		return nil, errProtocol
	}
	return &link{
		seal: e.result.Seal, open: e.result.Open, suite: e.result.Suite,
		chain: e.result.Certificates, server: e.run.server, conn: e.run.by,
	}, nil
}
