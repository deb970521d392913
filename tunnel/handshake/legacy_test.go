package handshake

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/tunnel/record"

	"github.com/pion/dtls/v3/pkg/protocol"
	"github.com/pion/dtls/v3/pkg/protocol/alert"
	"github.com/pion/dtls/v3/pkg/protocol/handshake"
)

// First datagrams of Campagnol 0.3.5 as released, on OpenSSL 1.0.2.
const (
	originalHello = "16feff000000000000000000bf010000b300000000000000b3feff2077dbff7b37ca6c7630d00146cac958fffd2f" +
		"da71d63cab6ce237fa12a91d8600000058c014c00a00390038003700360088008700860085c00fc00500350084c013c009003300320031" +
		"0030009a0099009800970045004400430042c00ec004002f009600410007c012c008001600130010000dc00dc003000a00ff01000031" +
		"000b000403000102000a001c001a00170019001c001b0018001a0016000e000d000b000c0009000a00230000000f000101"
	originalServerHello = "16feff00000000000000000042020000360000000000000036feff0c93a3ca1acdaf72edefa7d80b4b1ea79ba42b0c" +
		"5b081bf46f321c579d7eab4600003500000eff0100010000230000000f000101"
)

// flexibleHello is the first datagram of the same program with the
// version-flexible DTLS method: a ClientHello of DTLS 1.2 in a record of 1.0.
var flexibleHello = hex.EncodeToString(helloRecord(0xfeff, clientHello, slices.Concat(
	[]byte{0xfe, 0xfd}, bytes.Repeat([]byte{0x5a}, 32), // version, random
	[]byte{0, 0}, // no session, no cookie
	unhex("00a0c030c02cc028c024c014c00a00a500a300a1009f006b006a00690068003900380037003600880087008600"+
		"85c032c02ec02ac026c00fc005009d003d00350084c02fc02bc027c023c013c00900a400a200a0009e00670040003f003e003300320031"+
		"0030009a0099009800970045004400430042c031c02dc029c025c00ec004009c003c002f009600410007c012c00800160013"+
		"0010000dc00dc003000a00ff"),
	[]byte{1, 0}, // no compression
	unhex("0055"+"000b000403000102"+"000a001c001a00170019001c001b0018001a0016000e000d000b000c0009000a"+"00230000"+
		"000d0020001e060106020603050105020503040104020403030103020303020102020203"+"000f000101"),
)))

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// helloRecord returns a record in clear with one whole handshake message.
func helloRecord(version uint16, typ byte, body []byte) []byte {
	n := len(body)
	m := []byte{typ, 0, byte(n >> 8), byte(n), 0, 0, 0, 0, 0, 0, byte(n >> 8), byte(n)}
	return clear(record.Handshake, version, append(m, body...))
}

func clear(typ record.ContentType, version uint16, body []byte) []byte {
	b := []byte{byte(typ)}
	b = binary.BigEndian.AppendUint16(b, version)
	b = append(b, make([]byte, 8)...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	return append(b, body...)
}

// hello12 returns a ClientHello of DTLS 1.2 in a record of version 1.0, with a
// cookie and suites.
func hello12(cookie int, suites ...uint16) []byte {
	b := append([]byte{0xfe, 0xfd}, make([]byte, 32)...)
	b = append(b, 0, byte(cookie))
	b = append(b, make([]byte, cookie)...)
	b = binary.BigEndian.AppendUint16(b, uint16(2*len(suites)))
	for _, s := range suites {
		b = binary.BigEndian.AppendUint16(b, s)
	}
	return helloRecord(0xfeff, clientHello, append(b, 1, 0))
}

// serverHello12 returns a ServerHello of DTLS 1.2.
func serverHello12(suite uint16) []byte {
	b := append([]byte{0xfe, 0xfd}, make([]byte, 33)...)
	return helloRecord(0xfefd, serverHello, append(binary.BigEndian.AppendUint16(b, suite), 0))
}

func fatal(version uint16, d alert.Description) []byte {
	return clear(record.Alert, version, []byte{byte(alert.Fatal), byte(d)})
}

func TestDiagnose(t *testing.T) {
	const server, client = true, false
	helloVerify := helloRecord(0xfeff, 3, append([]byte{0xfe, 0xff, 20}, make([]byte, 20)...))
	certificate := helloRecord(0xfefd, 11, make([]byte, 100))
	second := unhex(originalHello)[record.HeaderLen:]
	for _, c := range []struct {
		name   string
		server bool
		b      []byte
		want   Legacy // 0: no verdict
		alert  alert.Description
	}{
		{"the original asks", server, unhex(originalHello), LegacyVersion, 0},
		{"the original asks, rebuilt", server, unhex(flexibleHello), 0, 0},
		{"DTLS 1.0 in a record of 1.2", server, helloRecord(0xfefd, 1, []byte{0xfe, 0xff}), LegacyVersion, 0},
		{"static RSA and CBC only", server, hello12(0, 0x009d, 0x0035, 0xc014, 0x00ff), LegacyClientSuites, 0},
		{"the same with a cookie", server, hello12(20, 0x009d), LegacyClientSuites, 0},
		{"one suite of ours, last", server, hello12(20, 0x009d, 0xc014, 0xc02b), 0, 0},
		{"no suites at all", server, hello12(0), 0, 0},
		{"half a suite", server, helloRecord(0xfefd, 1, append(make([]byte, 36), 0, 1, 0xc0)), 0, 0},
		{"DTLS 1.3", server, helloRecord(0xfefc, 1, []byte{0xfe, 0xfc}), 0, 0},
		{"TLS", server, helloRecord(0x0303, 1, []byte{3, 3}), 0, 0},
		{"second message of a record", server, clear(22, 0xfefd, append(certificate[13:], second...)), LegacyVersion, 0},
		{"second record of a datagram", server, append(clear(20, 0xfefd, []byte{1}), unhex(originalHello)...), LegacyVersion, 0},
		{"our own alerts mean nothing to a server", server, fatal(0xfeff, alert.HandshakeFailure), 0, 0},
		{"a ServerHello means nothing to a server", server, unhex(originalServerHello), 0, 0},

		{"the original answers", client, unhex(originalServerHello), LegacyVersion, 0},
		{"the original asks while we do", client, unhex(originalHello), 0, 0},
		{"a suite of ours", client, serverHello12(0xc02f), 0, 0},
		{"a suite that we know but did not offer", client, serverHello12(0xcca8), LegacyServerSuites, 0},
		{"static RSA", client, serverHello12(0x009d), LegacyServerSuites, 0},
		{"HelloVerifyRequest of 1.0", client, helloVerify, 0, 0},
		{"no shared cipher in DTLS 1.0", client, fatal(0xfeff, alert.HandshakeFailure), LegacyVersion, alert.HandshakeFailure},
		{"no shared cipher in DTLS 1.2", client, fatal(0xfefd, alert.HandshakeFailure), LegacyServerSuites, alert.HandshakeFailure},
		{"no shared cipher, one of ours", client, fatal(0xfefd, alert.InsufficientSecurity), LegacyServerSuites, alert.InsufficientSecurity},
		{"no DTLS 1.2", client, fatal(0xfefd, alert.ProtocolVersion), LegacyVersion, alert.ProtocolVersion},
		{"unexpected_message: glare", client, fatal(0xfeff, alert.UnexpectedMessage), 0, 0},
		{"a warning", client, clear(record.Alert, 0xfeff, []byte{1, 40}), 0, 0},
		{"alert cut short", client, clear(record.Alert, 0xfeff, []byte{2}), 0, 0},
		{"alert of epoch 1", client, append([]byte{21, 0xfe, 0xff, 0, 1}, fatal(0xfeff, 40)[5:]...), 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			suites := []record.Suite{record.ECDHE_ECDSA_AES128_GCM, record.ECDHE_RSA_AES128_GCM}
			if !c.server {
				suites = suites[1:]
			}
			got := Diagnose(c.server, suites, c.b)
			if c.want == 0 {
				if got != nil {
					t.Fatalf("verdict %v, want none", got.Legacy)
				}
				return
			}
			if got == nil || got.Legacy != c.want {
				t.Fatalf("verdict %+v, want %v", got, c.want)
			}
			var a *AlertError
			if isAlert := errors.As(got, &a); isAlert != (c.alert != 0) || isAlert && a.Description != c.alert {
				t.Errorf("cause %v, want alert %d", got.Cause, c.alert)
			}
		})
	}
}

// TestDiagnoseCut: whatever is missing at the end of a hello, there is a verdict
// only on what can be read, and the same one.
func TestDiagnoseCut(t *testing.T) {
	const headers = record.HeaderLen + 12
	for _, c := range []struct {
		name   string
		server bool
		hello  []byte
		enough int // bytes of the message that the verdict needs
		want   Legacy
	}{
		{"version of a ClientHello", true, unhex(originalHello), 2, LegacyVersion},
		{"version of a ServerHello", false, unhex(originalServerHello), 2, LegacyVersion},
		{"suites of a ClientHello", true, hello12(20, 0x009d, 0x0035), 2 + 32 + 1 + 21 + 2 + 4, LegacyClientSuites},
		{"suite of a ServerHello", false, serverHello12(0x009d), 2 + 32 + 1 + 2, LegacyServerSuites},
	} {
		for n := range len(c.hello) - headers {
			cut := bytes.Clone(c.hello[:headers+n])
			binary.BigEndian.PutUint16(cut[11:], uint16(12+n))
			binary.BigEndian.PutUint16(cut[headers-2:], uint16(n)) // the first fragment
			want := Legacy(0)
			if n >= c.enough {
				want = c.want
			}
			got := Diagnose(c.server, record.Suites(), cut)
			if (got == nil) != (want == 0) || got != nil && got.Legacy != want {
				t.Errorf("%s, %d bytes: %v, want %v", c.name, n, got, want)
			}
			cut[headers-4] = 1 // a fragment from further behind
			if got := Diagnose(c.server, record.Suites(), cut); got != nil {
				t.Errorf("%s, a later fragment: %v, want none", c.name, got)
			}
		}
	}
}

// runAgainst runs our end of a handshake against a peer that answers the first
// datagram, or the start, with the given datagrams.
func runAgainst(t *testing.T, cfg Config, answer ...[]byte) (sent [][]byte, took time.Duration, err error) {
	t.Helper()
	if cfg.Certificate.Certificate == nil {
		cfg.Certificate = identity(t, "ECDSA")
	}
	out := make(chan []byte, 100)
	h, err := New(cfg, func(b []byte) { out <- bytes.Clone(b) })
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if !cfg.Server {
			time.Sleep(time.Millisecond)
		}
		for _, b := range answer {
			h.Handle(b)
		}
	}()
	start := time.Now()
	_, err = h.Run(t.Context())
	took = time.Since(start)
	close(out)
	for b := range out {
		sent = append(sent, b)
	}
	return sent, took, err
}

// TestLegacyPeer runs handshakes with peers that are out of reach: the error
// says so, soon, and a peer that would go on is told.
func TestLegacyPeer(t *testing.T) {
	const (
		refuse10 = "15feff0000000000000000000202" + "46"
		refuse12 = "15fefd0000000000000000000202" + "28"
	)
	for _, c := range []struct {
		name   string
		server bool
		answer []byte
		want   Legacy
		told   string // the refusal, with sequence number 0; "": none
		says   string
	}{
		{"DTLS 1.0 asks", true, unhex(originalHello), LegacyVersion, refuse10, "Campagnol 0.3.5"},
		{"DTLS 1.2 without ECDHE asks", true, hello12(0, 0x009d), LegacyClientSuites, refuse12, "cipher_list"},
		{"DTLS 1.0 answers", false, unhex(originalServerHello), LegacyVersion, refuse10, "rebuild the original"},
		{"static RSA answers", false, serverHello12(0x009d), LegacyServerSuites, refuse12, "which the peer asks"},
		{"DTLS 1.0 has no shared cipher", false, fatal(0xfeff, 40), LegacyVersion, "", "(alert 40)"},
		{"DTLS 1.2 has no shared cipher", false, fatal(0xfefd, 40), LegacyServerSuites, "", "(alert 40)"},
		{"DTLS 1.2 is refused", false, fatal(0xfeff, 70), LegacyVersion, "", "(alert 70)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sent, took, err := runAgainst(t, Config{Server: c.server}, c.answer, c.answer)
				var legacy *LegacyError
				if !errors.As(err, &legacy) || legacy.Legacy != c.want {
					t.Fatalf("Run = %v, want a verdict on the peer's %v", err, c.want)
				}
				if !strings.Contains(err.Error(), c.says) {
					t.Errorf("%q does not contain %q", err, c.says)
				}
				if took < doubtGrace || took > doubtGrace+10*time.Millisecond {
					t.Errorf("took %v, want %v", took, doubtGrace)
				}
				var alerts []string
				for _, b := range sent {
					if b[0] == byte(record.Alert) {
						alerts = append(alerts, hex.EncodeToString(b))
					}
				}
				want := []string{c.told}
				switch n := len(sent) - 1; {
				case c.told == "":
					want = nil
				case !c.server: // after the ClientHellos, which had the numbers before it
					want[0] = want[0][:20] + fmt.Sprintf("%02x", n) + want[0][22:]
				}
				if !slices.Equal(alerts, want) {
					t.Errorf("told the peer %q, want %q", alerts, want)
				}
			})
		})
	}
}

// TestLegacySpoofed mixes messages of a peer that is out of reach into a
// handshake that goes on: whoever can send them must not be able to end it.
func TestLegacySpoofed(t *testing.T) {
	toServer := [][]byte{unhex(originalHello), hello12(0, 0x009d)}
	toClient := [][]byte{unhex(originalServerHello), serverHello12(0x009d), fatal(0xfeff, 40), fatal(0xfefd, 70)}
	synctest.Test(t, func(t *testing.T) {
		l := newLink(t, Config{}, Config{})
		l.filter = func(d datagram) [][]byte {
			spoofed := toClient
			if d.toServer {
				spoofed = toServer
			}
			return slices.Concat(spoofed, [][]byte{d.data}, spoofed)
		}
		c, s := l.mustRun()
		exchange(t, c, s, "works")
		exchange(t, s, c, "works")
	})
}

// TestLegacyOnlyBefore: once the peer has sent a hello that we can go on from, an
// alert has another reason.
func TestLegacyOnlyBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, took, err := runAgainst(t, Config{}, serverHello12(0xc02b), unhex(originalServerHello), fatal(0xfeff, 40))
		var a *AlertError
		var legacy *LegacyError
		if !errors.As(err, &a) || errors.As(err, &legacy) {
			t.Errorf("Run = %v, want the alert alone", err)
		}
		if took > time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// TestFlexibleHello answers the ClientHello of an original that was rebuilt for
// DTLS 1.2: with ECDHE, and without anything that it has not offered.
func TestFlexibleHello(t *testing.T) {
	const captured = "16feff0000000000000000012b0100011f000000000000011ffefd"
	if got := flexibleHello[:len(captured)]; got != captured {
		t.Fatalf("the hello begins with %s, want %s", got, captured)
	}
	for _, c := range []struct {
		kind, suite string
	}{{"RSA", "c030"}, {"ECDSA", "c02c"}} {
		synctest.Test(t, func(t *testing.T) {
			cfg := Config{
				Server: true, Certificate: identity(t, c.kind), Protocols: []string{"campagnol/1"},
				MTU: 3000, Timeout: flightInterval / 2, // the whole flight in one datagram, once
			}
			sent, _, err := runAgainst(t, cfg, unhex(flexibleHello))
			if !errors.Is(err, ErrTimeout) {
				t.Errorf("Run = %v, want ErrTimeout", err)
			}
			if len(sent) != 1 {
				t.Fatalf("%d datagrams, want 1 with the whole flight", len(sent))
			}
			h, rec, rest, err := record.Split(sent[0])
			if err != nil || h.Version != record.Version12 {
				t.Fatalf("record of version %#x, %v", h.Version, err)
			}
			body := rec[record.HeaderLen+12+2+32:]
			body = body[1+int(body[0]):] // the session
			if got := hex.EncodeToString(body[:2]); got != c.suite {
				t.Errorf("%s: suite %s, want %s", c.kind, got, c.suite)
			}
			for ext := body[5:]; len(ext) >= 4; ext = ext[4+int(binary.BigEndian.Uint16(ext[2:])):] {
				switch typ := binary.BigEndian.Uint16(ext); typ {
				case 0xff01, 11: // renegotiation_info, ec_point_formats
				default:
					t.Errorf("%s: extension %d, which the original does not offer", c.kind, typ)
				}
			}
			checkCurve(t, rest)
		})
	}
}

// checkCurve checks that the ServerKeyExchange among the records of b is ECDHE on
// P-256, the first curve of the original's that we have.
func checkCurve(t *testing.T, b []byte) {
	t.Helper()
	const serverKeyExchange = 12
	for len(b) > 0 {
		_, rec, rest, err := record.Split(b)
		if err != nil {
			t.Fatal(err)
		}
		if m := rec[record.HeaderLen:]; len(m) > 15 && m[0] == serverKeyExchange {
			if got := hex.EncodeToString(m[12:15]); got != "030017" {
				t.Errorf("key exchange %s, want 030017 (RFC 8422 section 5.4)", got)
			}
			return
		}
		b = rest
	}
	t.Error("no ServerKeyExchange")
}

func TestLegacyString(t *testing.T) {
	for l, want := range map[Legacy]string{
		0: "unknown", LegacyVersion: "version", LegacyClientSuites: "client_suites", LegacyServerSuites: "server_suites", 99: "unknown",
	} {
		if got := l.String(); got != want {
			t.Errorf("Legacy(%d) = %q, want %q", uint8(l), got, want)
		}
	}
	for l := LegacyVersion; l <= LegacyServerSuites; l++ {
		if s := (&LegacyError{Legacy: l}).Error(); !strings.HasPrefix(s, "the peer ") {
			t.Errorf("%v: %q", l, s)
		}
	}
}

// FuzzDiagnose: any bytes, in both roles. A verdict is complete and of the right
// role, and there is none on a hello with which pion would go on.
func FuzzDiagnose(f *testing.F) {
	for _, s := range []string{originalHello, originalServerHello, flexibleHello} {
		f.Add(unhex(s))
	}
	f.Add(hello12(20, 0x009d, 0x0035))
	f.Add(hello12(20, 0x009d, 0xc02b))
	f.Add(serverHello12(0x009d))
	f.Add(serverHello12(0xc02b))
	f.Add(fatal(0xfeff, 40))
	f.Fuzz(func(t *testing.T, b []byte) {
		acceptable := pionAccepts(b)
		for _, server := range []bool{true, false} {
			before := bytes.Clone(b)
			e := Diagnose(server, record.Suites(), b)
			if !bytes.Equal(b, before) {
				t.Fatal("Diagnose wrote to the datagram")
			}
			if e == nil {
				continue
			}
			if acceptable {
				t.Errorf("server %v: verdict %v on a hello that pion accepts", server, e.Legacy)
			}
			if e.Cause == nil || sentences[e.Legacy] == "" {
				t.Errorf("server %v: verdict %v without cause or sentence", server, e.Legacy)
			}
			if other := map[bool]Legacy{true: LegacyServerSuites, false: LegacyClientSuites}; e.Legacy == other[server] {
				t.Errorf("server %v: verdict %v is of the other role", server, e.Legacy)
			}
			if Diagnose(server, nil, b) == nil {
				t.Errorf("server %v: verdict %v goes away when we accept less", server, e.Legacy)
			}
		}
	})
}

// pionAccepts reports whether a datagram is one hello of DTLS 1.2 with a suite of
// ours, as pion reads it.
func pionAccepts(b []byte) bool {
	h, rec, rest, err := record.Split(b)
	if err != nil || len(rest) > 0 || h.Epoch != 0 || h.Type != record.Handshake {
		return false
	}
	var m handshake.Handshake
	if m.Unmarshal(rec[record.HeaderLen:]) != nil {
		return false
	}
	switch m := m.Message.(type) {
	case *handshake.MessageClientHello:
		return m.Version.Equal(protocol.Version1_2) &&
			slices.ContainsFunc(m.CipherSuiteIDs, func(id uint16) bool { return record.Suite(id).Known() })
	case *handshake.MessageServerHello:
		return m.Version.Equal(protocol.Version1_2) && record.Suite(*m.CipherSuiteID).Known()
	}
	return false
}
