package interop

import (
	"errors"
	"testing"
	"time"

	"campagnol/tunnel/handshake"
	"campagnol/tunnel/record"
)

// TestLegacy meets peers that are out of our reach, as the original is, in both
// roles: our error says what they are, soon, and they give up too.
func TestLegacy(t *testing.T) {
	const oldSuites = "AES256-SHA:@SECLEVEL=0" // static RSA, and nothing else
	for _, c := range []struct {
		name string
		s    setup
		want handshake.Legacy
		says string // by the process
	}{
		{
			"DTLS 1.0 asks", setup{server: true, version: "-dtls1", ciphers: oldSuites},
			handshake.LegacyVersion, "alert protocol version",
		}, {
			"DTLS 1.0 with ECDHE asks", setup{server: true, version: "-dtls1", ciphers: "DEFAULT:@SECLEVEL=0"},
			handshake.LegacyVersion, "alert protocol version",
		}, {
			"DTLS 1.2 with static RSA asks", setup{server: true, ciphers: "AES256-GCM-SHA384"},
			handshake.LegacyClientSuites, "alert handshake failure",
		}, {
			"either version with static RSA asks", setup{server: true, version: "-dtls", ciphers: "AES256-GCM-SHA384:" + oldSuites},
			handshake.LegacyClientSuites, "alert handshake failure",
		}, {
			"DTLS 1.0 is asked", setup{version: "-dtls1", ciphers: oldSuites},
			handshake.LegacyVersion, "no shared cipher",
		}, {
			"DTLS 1.0 with ECDHE is asked", setup{version: "-dtls1", ciphers: "DEFAULT:@SECLEVEL=0"},
			handshake.LegacyVersion, "no shared cipher",
		}, {
			"DTLS 1.2 with static RSA is asked", setup{ciphers: "AES256-GCM-SHA384"},
			handshake.LegacyServerSuites, "no shared cipher",
		}, {
			"either version with static RSA is asked", setup{version: "-dtls", ciphers: "AES256-GCM-SHA384:" + oldSuites},
			handshake.LegacyServerSuites, "no shared cipher",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.s.suite = record.ECDHE_RSA_AES128_GCM
			e, p := connect(t, openSSL{}, c.s)
			fails(t, e, c.want)
			p.says(c.says)
			if c.s.server {
				if err := p.ends(); err == nil {
					t.Error("s_client thinks that all is well")
				}
			}
		})
	}
}

// TestLegacyGnuTLS does so with GnuTLS, which asks us. Asked itself, gnutls-serv
// gives no answer, so that nothing can be told.
func TestLegacyGnuTLS(t *testing.T) {
	const static = ":+COMP-NULL:+SIGN-ALL:+GROUP-ALL:+CTYPE-X509:+AEAD:+SHA1:+AES-256-GCM:+AES-256-CBC:+RSA"
	for _, c := range []struct {
		version string
		want    handshake.Legacy
	}{
		{"DTLS1.0", handshake.LegacyVersion},
		{"DTLS1.2", handshake.LegacyClientSuites},
	} {
		t.Run(c.version, func(t *testing.T) {
			t.Parallel()
			s := setup{server: true, suite: record.ECDHE_RSA_AES128_GCM, ciphers: "NONE:+VERS-" + c.version + static}
			e, _ := connect(t, gnuTLS{}, s)
			fails(t, e, c.want)
		})
	}
}

// fails runs a handshake that ends with a verdict on the peer, long before it
// would time out.
func fails(t *testing.T, e *end, want handshake.Legacy) {
	t.Helper()
	start := time.Now()
	_, err := e.hs.Run(t.Context())
	var legacy *handshake.LegacyError
	if !errors.As(err, &legacy) || legacy.Legacy != want {
		t.Errorf("Run = %v, want a verdict on the peer's %v", err, want)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}
