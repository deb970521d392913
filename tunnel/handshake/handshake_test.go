package handshake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/tunnel/record"

	"github.com/pion/dtls/v3/pkg/protocol/alert"
)

func TestSuites(t *testing.T) {
	for _, suite := range record.Suites() {
		for _, clientKind := range []string{"ECDSA", "RSA"} {
			t.Run(fmt.Sprintf("%v with %s client", suite, clientKind), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newLink(t,
						Config{Certificate: identity(t, clientKind), Suites: []record.Suite{suite}},
						Config{Certificate: identity(t, kindOf(suite))})
					c, s := l.mustRun()
					if c.Suite != suite || s.Suite != suite {
						t.Errorf("agreed on %v and %v", c.Suite, s.Suite)
					}
					exchange(t, c, s, "from the client")
					exchange(t, s, c, "from the server")
					if len(c.Certificates) != 1 || len(s.Certificates) != 1 {
						t.Errorf("certificates: %d and %d, want 1 and 1", len(c.Certificates), len(s.Certificates))
					}
					if len(c.LastFlight) != 0 || len(s.LastFlight) == 0 {
						t.Errorf("last flight: client %d datagrams, server %d", len(c.LastFlight), len(s.LastFlight))
					}
				})
			})
		}
	}
}

func TestProtocol(t *testing.T) {
	for _, c := range []struct {
		name           string
		client, server []string
		want           string
	}{
		{"both", []string{"campagnol/1"}, []string{"campagnol/1"}, "campagnol/1"},
		{"only the client", []string{"campagnol/1"}, nil, ""},
		{"only the server", nil, []string{"campagnol/1"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cl, s := newLink(t, Config{Protocols: c.client}, Config{Protocols: c.server}).mustRun()
				if cl.Protocol != c.want {
					t.Errorf("client: %q, want %q", cl.Protocol, c.want)
				}
				if s.Protocol != c.want {
					t.Errorf("server: %q, want %q", s.Protocol, c.want)
				}
			})
		})
	}
}

// TestNoCommonProtocol: both ends learn that they are of different kinds.
func TestNoCommonProtocol(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLink(t, Config{Protocols: []string{"campagnol/1"}}, Config{Protocols: []string{"campagnol-frames/1"}})
		_, _, cerr, serr := l.run()
		if !errors.Is(cerr, ErrProtocol) || !errors.Is(serr, ErrProtocol) {
			t.Errorf("client: %v, server: %v", cerr, serr)
		}
	})
}

// TestLoss drops each datagram of a handshake in turn; it still completes.
func TestLoss(t *testing.T) {
	for _, toServer := range []bool{true, false} {
		for n := range 3 {
			t.Run(fmt.Sprintf("toServer=%v/%d", toServer, n), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newLink(t, Config{}, Config{})
					l.filter = func(d datagram) [][]byte {
						if d.toServer == toServer && d.n == n {
							return nil
						}
						return [][]byte{d.data}
					}
					// The server's last flight is repaired by its session, not
					// here: run answers for it.
					var c, s *Result
					var wg sync.WaitGroup
					wg.Go(func() {
						var err error
						if c, err = l.client.Run(t.Context()); err != nil {
							t.Errorf("client: %v", err)
						}
					})
					var err error
					if s, err = l.server.Run(t.Context()); err != nil {
						t.Errorf("server: %v", err)
					}
					done := make(chan struct{})
					go func() { wg.Wait(); close(done) }()
					for waiting := true; waiting; {
						select {
						case <-done:
							waiting = false
						case <-time.After(10 * time.Millisecond):
							answerRepeats(t, l, s)
						}
					}
					l.wg.Wait()
					if t.Failed() {
						return
					}
					exchange(t, c, s, "from the client")
					exchange(t, s, c, "from the server")
				})
			})
		}
	}
}

// answerRepeats does what a session does: it sends the last flight again when
// the client repeats its own.
func answerRepeats(t *testing.T, l *link, s *Result) {
	for _, rec := range l.server.Early() {
		h, rec, _, err := record.Split(rec)
		if err != nil || h.Type != record.Handshake {
			continue
		}
		if _, err := s.Open.Open(h, rec, new(record.Scratch)); err != nil {
			continue
		}
		for _, b := range s.LastFlight {
			l.carry(false, b)
		}
	}
}

// TestEarlyData lets data overtake the Finished, on both sides: it is kept and
// opens.
func TestEarlyData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLink(t, Config{}, Config{})
		var held [][]byte
		l.filter = func(d datagram) [][]byte {
			if !d.toServer && d.n >= 1 { // the server's last flight waits
				held = append(held, d.data)
				return nil
			}
			return [][]byte{d.data}
		}
		var c *Result
		var cerr error
		var wg sync.WaitGroup
		wg.Go(func() { c, cerr = l.client.Run(t.Context()) })
		s, err := l.server.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for i := range maxEarly + 10 {
			text := fmt.Sprint("early ", i)
			rec, err := s.Seal.Seal(nil, []byte(text), record.ApplicationData, new(record.Scratch))
			if err != nil {
				t.Fatal(err)
			}
			l.client.Handle(rec)
			if i < maxEarly {
				want = append(want, text)
			}
		}
		synctest.Wait()
		for _, b := range held {
			l.client.Handle(b)
		}
		wg.Wait()
		if cerr != nil {
			t.Fatal(cerr)
		}
		var got []string
		for _, rec := range l.client.Early() {
			b, err := openRecord(c.Open, rec)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(b))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d early records: %q ..., want the first %d", len(got), got, maxEarly)
		}
		if again := l.client.Early(); again != nil {
			t.Errorf("Early gave %d records twice", len(again))
		}
		l.wg.Wait()
	})
}

// TestNumbersNeverRepeat watches every record that leaves in epoch 1, of pion's
// and ours, through a handshake with retransmissions and a session after it: no
// number carries two different ciphertexts.
func TestNumbersNeverRepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLink(t, Config{}, Config{})
		drops := 0
		l.filter = func(d datagram) [][]byte { // lose flight 6 a few times
			if !d.toServer && d.data[0] == byte(record.ChangeCipherSpec) && drops < 3 {
				drops++
				return nil
			}
			return [][]byte{d.data}
		}
		var c *Result
		var wg sync.WaitGroup
		wg.Go(func() { c, _ = l.client.Run(t.Context()) })
		s, err := l.server.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 1000 { // the session answers repeats while it sends data
			time.Sleep(10 * time.Millisecond)
			answerRepeats(t, l, s)
			rec, err := s.Seal.Seal(nil, []byte("data"), record.ApplicationData, new(record.Scratch))
			if err != nil {
				t.Fatal(err)
			}
			l.carry(false, rec)
		}
		wg.Wait()
		l.wg.Wait()
		if c == nil {
			t.Fatal("the client did not complete")
		}
		for range 100 {
			rec, err := c.Seal.Seal(nil, []byte("data"), record.Alert, new(record.Scratch))
			if err != nil {
				t.Fatal(err)
			}
			l.carry(true, rec)
		}
		l.wg.Wait()
		checkNumbers(t, l.log)
	})
}

func checkNumbers(t *testing.T, log []datagram) {
	t.Helper()
	type number struct {
		toServer bool
		seq      uint64
	}
	seen := map[number][]byte{}
	repeats, protected := 0, 0
	for _, d := range log {
		for rest := d.data; len(rest) > 0; {
			h, rec, r, err := record.Split(rest)
			if err != nil {
				t.Fatal(err)
			}
			rest = r
			if h.Epoch == 0 {
				continue
			}
			protected++
			n := number{d.toServer, h.Seq}
			if before, ok := seen[n]; ok {
				repeats++
				if !bytes.Equal(before, rec) {
					t.Errorf("number %d (to server: %v) protects two different records", h.Seq, d.toServer)
				}
			}
			seen[n] = rec
		}
	}
	if protected < 1000 || repeats == 0 {
		t.Errorf("%d protected records, %d repeated: the test did not test", protected, repeats)
	}
}

func TestVerifyRefuses(t *testing.T) {
	refusal := errors.New("we do not know this one")
	for _, server := range []bool{false, true} {
		t.Run(fmt.Sprintf("server=%v", server), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				refuse := Config{Verify: func(chain [][]byte) error {
					if len(chain) != 1 {
						t.Errorf("chain of %d", len(chain))
					}
					return refusal
				}}
				l := newLink(t, refuse, Config{})
				if server {
					l = newLink(t, Config{}, refuse)
				}
				_, _, cerr, serr := l.run()
				ours, theirs := cerr, serr
				if server {
					ours, theirs = serr, cerr
				}
				if !errors.Is(ours, refusal) {
					t.Errorf("our error: %v, want the refusal", ours)
				}
				var a *AlertError
				if !errors.As(theirs, &a) || a.Description != alert.BadCertificate {
					t.Errorf("the peer's error: %v, want bad_certificate", theirs)
				}
			})
		})
	}
}

func TestNoCommonSuite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLink(t,
			Config{Suites: []record.Suite{record.ECDHE_RSA_AES128_GCM}},
			Config{Suites: []record.Suite{record.ECDHE_ECDSA_AES256_GCM}})
		_, _, cerr, serr := l.run()
		var a *AlertError
		if !errors.As(cerr, &a) {
			t.Errorf("client: %v, want an alert", cerr)
		}
		if serr == nil {
			t.Error("server: no error")
		}
	})
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLink(t, Config{Timeout: 3 * time.Second}, Config{Timeout: 5 * time.Second})
		l.filter = func(datagram) [][]byte { return nil }
		start := time.Now()
		_, _, cerr, serr := l.run()
		if !errors.Is(cerr, ErrTimeout) || !errors.Is(serr, ErrTimeout) {
			t.Errorf("errors %v and %v, want ErrTimeout", cerr, serr)
		}
		if got := time.Since(start); got != 5*time.Second {
			t.Errorf("gave up after %v, want 5 s", got)
		}
		if l.sent[true] < 3 {
			t.Errorf("%d ClientHellos in 3 s, want at least 3", l.sent[true])
		}
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		h, err := New(Config{Certificate: identity(t, "ECDSA")}, func([]byte) {})
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		if _, err := h.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v, want context.Canceled", err)
		}
		if got := time.Since(start); got != time.Second {
			t.Errorf("ended after %v, want 1 s", got)
		}
	})
}

// TestDuplicatesAndReordering delivers every datagram of long flights twice, in
// disorder.
func TestDuplicatesAndReordering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		big := Config{MTU: 300, Certificate: selfSigned(t, identities()["ECDSA"], 60)}
		l := newLink(t, big, big)
		l.filter = func(d datagram) [][]byte { return [][]byte{d.data, d.data} }
		l.delay = func(d datagram) time.Duration { return time.Duration(d.n*7919%5) * 3 * time.Millisecond }
		c, s := l.mustRun()
		exchange(t, c, s, "works")
	})
}

// TestMTU checks that no datagram of a handshake is larger than asked for, with
// certificates of several times that size.
func TestMTU(t *testing.T) {
	for _, mtu := range []int{300, 576, 1200} {
		synctest.Test(t, func(t *testing.T) {
			cert := selfSigned(t, identities()["RSA"], 64)
			for range 3 { // a chain
				cert.Certificate = append(cert.Certificate, cert.Certificate[0])
			}
			cfg := Config{MTU: mtu, Certificate: cert}
			l := newLink(t, cfg, cfg)
			l.mustRun()
			largest := 0
			for _, d := range l.log {
				largest = max(largest, len(d.data))
			}
			if largest > mtu || largest < mtu*3/4 {
				t.Errorf("MTU %d: largest datagram %d bytes", mtu, largest)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(Config{Certificate: identity(t, "ECDSA"), Suites: []record.Suite{0x002f}}, nil); err == nil {
		t.Error("New took a suite that the record layer does not speak")
	}
	if _, err := New(Config{}, nil); err == nil {
		t.Error("New took no certificate")
	}
}

// TestExportedState breaks each field that we take from pion's exported state,
// as a change of pion would: the take-over fails, it never makes wrong keys.
func TestExportedState(t *testing.T) {
	good := exportedState{
		LocalEpoch: 1, RemoteEpoch: 1,
		LocalRandom: [32]byte{1}, RemoteRandom: [32]byte{2},
		CipherSuiteID: uint16(record.ECDHE_ECDSA_AES128_GCM),
		MasterSecret:  bytes.Repeat([]byte{3}, 48), SequenceNumber: 1,
		PeerCertificates: [][]byte{{1}}, IsClient: true,
	}
	if err := good.check(false, nil); err != nil {
		t.Fatalf("a good state: %v", err)
	}
	for name, spoil := range map[string]func(s *exportedState){
		"LocalEpoch":       func(s *exportedState) { s.LocalEpoch = 0 },
		"RemoteEpoch":      func(s *exportedState) { s.RemoteEpoch = 0 },
		"LocalRandom":      func(s *exportedState) { s.LocalRandom = [32]byte{} },
		"RemoteRandom":     func(s *exportedState) { s.RemoteRandom = [32]byte{} },
		"MasterSecret":     func(s *exportedState) { s.MasterSecret = nil },
		"SequenceNumber":   func(s *exportedState) { s.SequenceNumber = 0 },
		"PeerCertificates": func(s *exportedState) { s.PeerCertificates = nil },
		"IsClient":         func(s *exportedState) { s.IsClient = false },

		"LocalConnectionID":  func(s *exportedState) { s.LocalConnectionID = []byte{1} },
		"RemoteConnectionID": func(s *exportedState) { s.RemoteConnectionID = []byte{1} },
	} {
		s := good
		spoil(&s)
		if err := s.check(false, nil); err == nil {
			t.Errorf("%s missing: not noticed", name)
		}
	}
	// What check cannot see, the peer's Finished shows.
	h := &Handshake{pipe: newPipe(false, nil, nil)}
	h.pipe.finished = [][]byte{append([]byte{22, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 0, 0, 40}, make([]byte, 40)...)}
	if _, err := h.result(&good); !errors.Is(err, ErrTakeOver) {
		t.Errorf("keys that do not open the Finished: %v, want ErrTakeOver", err)
	}
	h.pipe.nextSeq = 5
	if _, err := h.result(&good); !errors.Is(err, ErrTakeOver) {
		t.Errorf("a number that has left already: %v, want ErrTakeOver", err)
	}
	bad := good
	bad.CipherSuiteID = 0
	if _, _, err := keys(&bad, record.Suite(bad.CipherSuiteID)); err == nil {
		t.Error("keys for no suite")
	}
}
