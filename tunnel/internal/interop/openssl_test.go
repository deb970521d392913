package interop

import (
	"fmt"
	"testing"

	"campagnol/tunnel/record"
)

// TestOpenSSL opens sessions with every suite, every pair of kinds of
// certificates, with and without extended master secret (RFC 7627), which the
// original has not, and session tickets (RFC 5077), which it offers.
func TestOpenSSL(t *testing.T) {
	for _, suite := range record.Suites() {
		for _, client := range []kind{rsa2048, p256} {
			for _, ems := range []bool{true, false} {
				for _, tickets := range []bool{true, false} {
					name := fmt.Sprintf("%v with %s client/ems=%v tickets=%v", suite, client, ems, tickets)
					t.Run(name, func(t *testing.T) {
						both(t, setup{suite: suite, client: client, options: options(ems, tickets)}, func(t *testing.T, s setup) {
							testOpenSSL(t, s, ems, tickets)
						})
					})
				}
			}
		}
	}
}

func options(ems, tickets bool) string {
	sign := map[bool]string{true: "", false: "-"}
	return fmt.Sprintf("Options = %sExtendedMasterSecret,%sSessionTicket", sign[ems], sign[tickets])
}

func testOpenSSL(t *testing.T, s setup, ems, tickets bool) {
	e, p := connect(t, openSSL{}, s)
	if r := e.open(); r.Suite != s.suite || r.Protocol != "" {
		t.Errorf("%v, protocol %q", r.Suite, r.Protocol)
	}
	talk(e, p)
	ch, sh := lastHello(t, e.path, clientHello), lastHello(t, e.path, serverHello)
	if got := ch.has(extMasterSecret) && sh.has(extMasterSecret); got != ems {
		t.Errorf("extended master secret: %v, want %v", got, ems)
	}
	if got, want := ch.has(extTicket), tickets && s.server; got != want { // we offer none
		t.Errorf("the client offers tickets: %v, want %v", got, want)
	}
	if s.server {
		p.send("Q")
	} else {
		e.close() // s_server closes its socket before it would answer a Q
	}
	e.isClosed()
}

// TestOpenSSLWeClose: OpenSSL understands our close_notify.
func TestOpenSSLWeClose(t *testing.T) {
	both(t, setup{}, func(t *testing.T, s setup) {
		e, p := connect(t, openSSL{}, s)
		e.open()
		e.say("before the end")
		p.says("before the end")
		e.close()
		if !s.server {
			p.says("DONE") // and it waits for the next client
			return
		}
		if err := p.ends(); err != nil {
			t.Errorf("s_client: %v", err)
		}
		p.says("closed")
	})
}

// TestOpenSSLLikeTheOriginal makes OpenSSL offer and accept what it does in an
// original that was rebuilt with the version-flexible DTLS method: as a client
// its ClientHello of DTLS 1.2 comes in a record of DTLS 1.0.
func TestOpenSSLLikeTheOriginal(t *testing.T) {
	const all = "DEFAULT:@SECLEVEL=0"
	for _, server := range []kind{rsa2048, p256} {
		for _, client := range []kind{rsa2048, p256} {
			s := setup{
				suite: record.ECDHE_RSA_AES256_GCM, client: client, version: "-dtls", ciphers: all, cas: 1, mtu: 1419,
				options: options(false, true),
				args: []string{
					"-groups", "P-256:P-521:P-384",
					"-sigalgs", "RSA+SHA512:ECDSA+SHA512:RSA+SHA384:ECDSA+SHA384:RSA+SHA256:ECDSA+SHA256:RSA+SHA224:ECDSA+SHA224:RSA+SHA1:ECDSA+SHA1",
				},
			}
			if server == p256 {
				s.suite = record.ECDHE_ECDSA_AES256_GCM
			}
			t.Run(fmt.Sprintf("%s server, %s client", server, client), func(t *testing.T) {
				both(t, s, func(t *testing.T, s setup) {
					e, p := connect(t, openSSL{}, s)
					if r := e.open(); r.Suite != s.suite {
						t.Errorf("%v, want %v", r.Suite, s.suite)
					}
					talk(e, p)
					ch, sh := firstHello(t, e.path, clientHello), lastHello(t, e.path, serverHello)
					if s.server && (ch.record != record.Version10 || ch.version != record.Version12) {
						t.Errorf("ClientHello of version %#x in a record of %#x, want %#x and %#x",
							ch.version, ch.record, record.Version12, record.Version10)
					}
					if sh.has(extMasterSecret) || sh.version != record.Version12 {
						t.Errorf("ServerHello of version %#x, extensions %v", sh.version, sh.extensions)
					}
				})
			})
		}
	}
}

// TestOpenSSLFlights: OpenSSL takes flights with several records to a datagram,
// and so do we; neither sends a datagram that is larger than it should be.
func TestOpenSSLFlights(t *testing.T) {
	for _, mtu := range []int{600, 1419} { // the original's is 1419
		t.Run(fmt.Sprint(mtu), func(t *testing.T) {
			both(t, setup{suite: record.ECDHE_RSA_AES128_GCM, client: rsa2048, cas: 1, mtu: mtu}, func(t *testing.T, s setup) {
				e, p := connect(t, openSSL{}, s)
				e.open()
				talk(e, p)
				for _, toPeer := range []bool{true, false} {
					packed := 0
					for _, d := range e.path.sentBy(toPeer) {
						if len(d.data) > mtu {
							t.Errorf("datagram %d to the peer=%v has %d bytes, want at most %d", d.n, toPeer, len(d.data), mtu)
						}
						packed = max(packed, records(d.data))
					}
					if packed < 2 {
						t.Errorf("to the peer=%v: at most %d records in a datagram, want several", toPeer, packed)
					}
				}
			})
		})
	}
}

// TestOpenSSLFragments: chains of five certificates, which take a dozen
// datagrams.
func TestOpenSSLFragments(t *testing.T) {
	for _, k := range []kind{rsa2048, p256} {
		s := setup{suite: record.ECDHE_RSA_AES128_GCM, client: k, cas: 3, mtu: 300}
		t.Run(fmt.Sprintf("%s client", k), func(t *testing.T) {
			both(t, s, func(t *testing.T, s setup) {
				e, p := connect(t, openSSL{}, s)
				if r := e.open(); len(r.Certificates) < 4 {
					t.Errorf("a chain of %d certificates, want at least 4", len(r.Certificates))
				}
				talk(e, p)
				checkFragments(t, e.path)
			})
		})
	}
}

// checkFragments checks that both ends have fragmented their Certificate message.
func checkFragments(t *testing.T, p *path) {
	t.Helper()
	fragments := map[int]int{} // by length of the whole message: one is ours, one theirs
	for _, m := range messages(p, certificate) {
		if m.length > len(m.body) {
			fragments[m.length]++
		}
	}
	if len(fragments) != 2 {
		t.Errorf("%d Certificate messages are fragmented, want 2", len(fragments))
	}
	for length, n := range fragments {
		if n < 5 {
			t.Errorf("%d fragments of %d bytes, want more", n, length)
		}
	}
}

// TestOpenSSLCookie: a server that wants a cookie (RFC 6347 section 4.2.1), whose
// HelloVerifyRequest is of DTLS 1.0.
func TestOpenSSLCookie(t *testing.T) {
	for _, version := range []string{"-dtls1_2", "-dtls"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			e, p := connect(t, openSSL{}, setup{version: version, args: []string{"-listen"}})
			e.open()
			talk(e, p)
			hvr := messages(e.path, helloVerifyRequest)
			if len(hvr) == 0 {
				t.Fatal("no HelloVerifyRequest")
			}
			var of uint16
			if hvr[0].body.ReadUint16(&of); of != record.Version10 {
				t.Errorf("HelloVerifyRequest of version %#x, want %#x", of, record.Version10)
			}
			if ch := lastHello(t, e.path, clientHello); ch.cookie == 0 {
				t.Error("a ClientHello without a cookie")
			}
		})
	}
}

// TestOpenSSLLastFlightLost loses our last flight, after which pion is gone: the
// session repeats it, and OpenSSL comes through.
func TestOpenSSLLastFlightLost(t *testing.T) {
	t.Parallel()
	const losses = 2
	lost := 0
	e, p := connect(t, openSSL{}, setup{server: true, filter: func(d datagram) [][]byte {
		if d.toPeer && d.data[0] == byte(record.ChangeCipherSpec) && lost < losses {
			lost++
			return nil
		}
		return [][]byte{d.data}
	}})
	e.open()
	p.send("hello after all")
	e.hears("hello after all")
	e.say("welcome")
	p.says("welcome")
	if got := len(e.path.sentBy(true)); got < losses {
		t.Errorf("%d datagrams of ours, %d of them lost", got, losses)
	}
	e.path.mu.Lock()
	defer e.path.mu.Unlock()
	if lost != losses {
		t.Errorf("lost %d flights, want %d", lost, losses)
	}
}

// TestOpenSSLEarlyData lets OpenSSL's data overtake its Finished.
func TestOpenSSLEarlyData(t *testing.T) {
	t.Parallel()
	var held [][]byte
	overtaken := false
	e, p := connect(t, openSSL{}, setup{suite: record.ECDHE_RSA_AES256_GCM, filter: func(d datagram) [][]byte {
		switch {
		case d.toPeer || overtaken:
		case d.data[0] == byte(record.ApplicationData) && held != nil:
			overtaken = true
			return append([][]byte{d.data}, held...)
		case hasFinished(d.data):
			held = append(held, d.data)
			return nil
		}
		return [][]byte{d.data}
	}})
	p.send("early line") // it goes out as soon as OpenSSL is done
	e.open()
	e.hears("early line")
	e.say("late answer")
	p.says("late answer")
	e.path.mu.Lock()
	defer e.path.mu.Unlock()
	if !overtaken {
		t.Error("no data has overtaken a Finished")
	}
}

// records counts the records of a datagram.
func records(b []byte) (n int) {
	for len(b) > 0 {
		_, _, rest, err := record.Split(b)
		if err != nil {
			return n
		}
		n, b = n+1, rest
	}
	return n
}
