package handshake

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"testing"
	"testing/synctest"

	"campagnol/tunnel/record"
)

func TestRehearse(t *testing.T) {
	for _, kind := range []string{"ECDSA", "RSA"} {
		for _, id := range []*record.ID{nil, new(record.ID), clientID} {
			t.Run(fmt.Sprintf("%s/%x", kind, id), func(t *testing.T) {
				cfg := Config{Certificate: identity(t, kind), Protocols: []string{"campagnol/1"}, ConnectionID: id}
				if err := Rehearse(t.Context(), cfg); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestRehearseFails(t *testing.T) {
	id, other := identity(t, "ECDSA"), identity(t, "RSA")
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name string
		ctx  context.Context
		cfg  Config
	}{
		{"another's key", t.Context(), Config{Certificate: tls.Certificate{
			Certificate: id.Certificate, PrivateKey: stranger}}},
		{"a key of another kind", t.Context(), Config{Certificate: tls.Certificate{
			Certificate: id.Certificate, PrivateKey: other.PrivateKey}}},
		{"no suite for the key", t.Context(), Config{Certificate: id,
			Suites: []record.Suite{record.ECDHE_RSA_AES128_GCM}}},
		{"an unknown suite", t.Context(), Config{Certificate: id, Suites: []record.Suite{1}}},
		{"cancelled", cancelled, Config{Certificate: id}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // and nothing goes on afterwards
				if err := Rehearse(c.ctx, c.cfg); err == nil {
					t.Error("succeeds")
				}
			})
		})
	}
}

// What is opened has to be what was sealed.
func TestRehearseComparesKeys(t *testing.T) {
	id := identity(t, "ECDSA")
	var results [2]*Result
	for i := range results {
		synctest.Test(t, func(t *testing.T) {
			results[i], _ = newLink(t, Config{Certificate: id}, Config{Certificate: id}).mustRun()
		})
	}
	if err := carries(results[0], results[1]); err == nil {
		t.Error("keys of another handshake open what was sealed")
	}
	if err := isChain([][]byte{{1}})([][]byte{{2}}); err == nil {
		t.Error("another certificate is taken for ours")
	}
	if err := isChain([][]byte{{1}})(nil); err == nil {
		t.Error("no certificate is taken for ours")
	}
}
