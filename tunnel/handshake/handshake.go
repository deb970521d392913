// Package handshake performs DTLS 1.2 handshakes (RFC 6347 section 4.2) and
// hands the keys over to our record layer.
//
// pion/dtls does the handshake, over a pipe in memory, and never carries data:
// its Conn takes some 40 allocations and three goroutines for a packet. When
// the handshake is complete we take over, in this order:
//
//  1. the pipe starts to swallow what pion writes, so that from here on nothing
//     that pion seals reaches the network;
//  2. pion's state is exported: master secret, randoms, suite, and the next
//     sequence number;
//  3. a Sealer and an Opener are made from it; the Sealer starts above every
//     number of the epoch that pion has used. It is the only one that numbers
//     records from now on, so a nonce cannot repeat;
//  4. the peer's Finished, of which the pipe kept a copy, must open with the new
//     Opener. Should another version of pion export its state differently, this
//     test fails each handshake, loudly, instead of making wrong keys;
//  5. pion is closed. Its goroutines end; what stays are a few kilobytes.
//
// Records that overtake the handshake's end, which pion must not see, wait in
// the pipe (see [Handshake.Early]). In a full handshake the server speaks last,
// so a server keeps the datagrams of its last flight: a client that has not got
// them repeats its own, and must be answered byte for byte, since the same
// ciphertext reuses no nonce (see [Result.LastFlight]).
//
// With connection IDs (RFC 9146) the type of a protected record does not show. What is
// as long as a Finished is shown to pion, and whatever came is among the early records,
// but for the Finished itself. pion numbers the Finished 0 each time that it sends it:
// a repeated one is the same record, which the Opener takes for a replay, so that it is
// the ChangeCipherSpec before it that asks a server for its last flight.
//
// A peer with which no handshake is possible, as the original as released, is
// recognised by its first datagrams, and the error says so (see [LegacyError]).
package handshake

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"campagnol/tunnel/record"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/elliptic"
	"github.com/pion/dtls/v3/pkg/protocol/alert"
)

const (
	// defaultTimeout bounds a handshake. Six flights of a lossy path fit.
	defaultTimeout = 15 * time.Second

	// flightInterval is the first retransmission interval; pion doubles it. RFC
	// 6347 section 4.2.4.1 says 1 s unless the application knows better: the
	// punches that come before a handshake have just shown that the path is
	// open, and a person waits for the first packet.
	flightInterval = 400 * time.Millisecond

	// doubtGrace is how long a handshake goes on after a fatal alert in clear, or
	// a hello with which we have nothing in common. Anybody who can spoof the
	// peer's address can send one; the true peer has this long to prove that it
	// goes on.
	doubtGrace = 500 * time.Millisecond

	// defaultMTU is the size of the largest datagram of a handshake, in bytes.
	// It fits every path that carries IPv6 (RFC 8200 section 5: 1280).
	defaultMTU = 1200

	// fragmentHead is what a datagram with one fragment is longer than the
	// fragment's body, which is what pion's MTU limits: record and handshake
	// header (RFC 6347 section 4.2.2), and the protection of the Finished.
	fragmentHead = record.HeaderLen + 12 + 24
)

// A Config says how to handshake. It must not change while in use.
type Config struct {
	Server      bool            // we wait for a ClientHello; else we send it
	Certificate tls.Certificate // ours, with its chain and key

	// Verify decides about the peer's certificate chain, in DER as received,
	// leaf first. Its error ends the handshake and is what Run returns.
	// A handshake in which the peer shows no certificate fails before.
	Verify func(chain [][]byte) error

	Suites    []record.Suite // offered or accepted, best first; nil: record.Suites()
	Protocols []string       // ALPN (RFC 7301), best first; nil: none
	MTU       int            // of a datagram, in bytes; 0: 1200

	// ConnectionID is what the peer shall put into its records, if it can (RFC 9146).
	// It must be unique among the caller's sessions. nil: nothing, nor do we into ours.
	ConnectionID *record.ID

	Timeout time.Duration // 0: 15 s
	Log     *slog.Logger  // nil: none
}

// A Result is what a handshake leaves.
type Result struct {
	Suite        record.Suite
	Seal         *record.Sealer
	Open         *record.Opener
	Certificates [][]byte // the peer's chain, in DER, leaf first
	Protocol     string   // agreed by ALPN; "": none

	// ConnectionID is in all records of the peer's; nil: in none.
	ConnectionID *record.ID

	// LastFlight are the datagrams that the peer may still miss. It is empty
	// for a client. They are to be sent again, unchanged, when the peer repeats
	// its last flight, until it sends its first data.
	LastFlight [][]byte
}

// Errors of [Handshake.Run], beside those of Verify, *LegacyError, *AlertError
// and those of pion.
var (
	ErrTimeout  = errors.New("the handshake took too long")
	ErrProtocol = errors.New("the two ends have no application protocol in common (ALPN)")
	ErrTakeOver = errors.New("handshake: the keys that pion/dtls exported do not open the peer's Finished; this build uses a version of pion/dtls that it does not fit")
)

// noProtocol is how pion says it, which exports no name for that error.
const noProtocol = "no application protocol"

// An AlertError says that the peer ended the handshake.
type AlertError struct {
	Description alert.Description
}

func (e *AlertError) Error() string {
	return fmt.Sprintf("the peer ended the handshake: %v (alert %d)", e.Description, uint8(e.Description))
}

// A Handshake is one attempt at a session with a peer.
type Handshake struct {
	cfg       Config
	pipe      *pipe
	conn      *dtls.Conn
	verifyErr error // of cfg.Verify; written by pion's goroutine before HandshakeContext returns
}

// New prepares a handshake whose datagrams go out through send, which must not
// keep them. send is called from other goroutines, one call at a time.
func New(cfg Config, send func(datagram []byte)) (*Handshake, error) {
	if cfg.Suites == nil {
		cfg.Suites = record.Suites()
	}
	if cfg.MTU == 0 {
		cfg.MTU = defaultMTU
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	h := &Handshake{cfg: cfg, pipe: newPipe(cfg.Server, cfg.Suites, send)}
	h.pipe.withID = cfg.ConnectionID != nil
	conn, err := h.newConn()
	if err != nil {
		return nil, fmt.Errorf("handshake: %w", err)
	}
	h.conn = conn
	return h, nil
}

func (h *Handshake) newConn() (*dtls.Conn, error) {
	suites := make([]dtls.CipherSuiteID, 0, len(h.cfg.Suites))
	for _, s := range h.cfg.Suites {
		if !s.Known() { // pion knows more than our record layer
			return nil, fmt.Errorf("%v is not supported", s)
		}
		suites = append(suites, dtls.CipherSuiteID(s))
	}
	options := []dtls.Option{
		dtls.WithCertificates(h.cfg.Certificate),
		dtls.WithCipherSuites(suites...),
		dtls.WithEllipticCurves(elliptic.X25519, elliptic.P256, elliptic.P384),
		dtls.WithExtendedMasterSecret(dtls.RequestExtendedMasterSecret), // the original has none
		dtls.WithFlightInterval(flightInterval),
		dtls.WithMTU(h.cfg.MTU - fragmentHead),
		dtls.WithInsecureSkipVerify(true), // pion would check host names; verify does it
		dtls.WithVerifyPeerCertificate(h.verify),
		dtls.WithLoggerFactory(loggerFactory{h.cfg.Log}),
	}
	if len(h.cfg.Protocols) > 0 {
		options = append(options, dtls.WithSupportedProtocols(h.cfg.Protocols...))
	}
	if id := h.cfg.ConnectionID; id != nil {
		options = append(options, dtls.WithConnectionIDGenerator(func() []byte { return id[:] }))
	}
	if h.cfg.Server {
		server := []dtls.ServerOption{
			dtls.WithClientAuth(dtls.RequireAnyClientCert),
			// The punches have proven that the peer receives at its address.
			dtls.WithInsecureSkipVerifyHello(true),
		}
		for _, o := range options {
			server = append(server, o)
		}
		return dtls.ServerWithOptions(h.pipe, h.pipe.RemoteAddr(), server...)
	}
	var client []dtls.ClientOption
	for _, o := range options {
		client = append(client, o)
	}
	return dtls.ClientWithOptions(h.pipe, h.pipe.RemoteAddr(), client...)
}

func (h *Handshake) verify(chain [][]byte, _ [][]*x509.Certificate) error {
	if h.cfg.Verify == nil {
		return nil
	}
	h.verifyErr = h.cfg.Verify(chain)
	return h.verifyErr
}

// Handle takes a datagram from the peer. It copies what it keeps, never waits,
// and may be called at any time; what is too much or makes no sense is dropped.
func (h *Handshake) Handle(datagram []byte) { h.pipe.deliver(datagram) }

// Early returns, once, the records that came before their keys were known, in
// order of arrival. They are to be opened with the Result's Opener, which finds
// out whether they are genuine. It may be called again later for those that
// came since.
func (h *Handshake) Early() [][]byte { return h.pipe.takeEarly() }

// Run performs the handshake and returns its result when it is complete, or an
// error when it has failed, timed out, or ctx is done. It must be called once.
func (h *Handshake) Run(ctx context.Context) (*Result, error) {
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Timeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- h.conn.HandshakeContext(ctx) }()
	err := h.wait(done, cancel)
	if err != nil {
		err = h.reason(ctx, err)
		h.pipe.refuse()
		h.pipe.swallow()
		h.conn.Close()
		return nil, err
	}
	return h.takeOver()
}

// wait waits for the end of pion's handshake. Doubts about the peer shorten the
// time that is left for it.
func (h *Handshake) wait(done <-chan error, cancel func()) error {
	doubted := h.pipe.doubted
	var grace <-chan time.Time
	for {
		select {
		case err := <-done:
			return err
		case <-doubted:
			doubted = nil
			timer := time.NewTimer(doubtGrace)
			defer timer.Stop()
			grace = timer.C
		case <-grace:
			cancel()
		}
	}
}

// reason finds the true cause of a failed handshake.
func (h *Handshake) reason(ctx context.Context, err error) error {
	if h.verifyErr != nil {
		return h.verifyErr
	}
	if why := h.pipe.reason(); why != nil {
		var a *AlertError
		if errors.As(why, &a) && a.Description == alert.NoApplicationProtocol {
			return fmt.Errorf("%w: %w", ErrProtocol, why)
		}
		return why
	}
	if strings.Contains(err.Error(), noProtocol) {
		return ErrProtocol
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ErrTimeout
	}
	return err
}
