package main

import (
	"context"
	"errors"
	"time"

	"campagnol/internal/cli"
	"campagnol/pki"
	"campagnol/pki/enroll"
)

const (
	// trustPatience is how long a renewal waits for each thing that the new
	// certificate may be ahead of. The rendezvous server has them from the authority
	// within some seconds, and we have them from there at once.
	trustPatience = 12 * time.Second

	// trustLook is how often it is looked whether they have come.
	trustLook = 100 * time.Millisecond
)

// tooEarly reports whether an error of a renewal may be for lack of what the rendezvous
// server has not brought yet: the certificate is by a key that we have not heard of, or
// whose revocation list we do not have.
func tooEarly(err error) bool {
	var r *pki.Refusal
	return errors.Is(err, enroll.ErrUntrusted) || errors.As(err, &r) && (r.Reason == pki.NoCRL || r.Reason == pki.UnknownCA)
}

// awaitTrust waits until something else is trusted than before, and reports whether
// that has come to pass.
func (n *node) awaitTrust(ctx context.Context, before *trust) bool {
	ctx, cancel := context.WithTimeout(ctx, trustPatience)
	defer cancel()
	ticker := time.NewTicker(trustLook)
	defer ticker.Stop()
	for n.view.Load().trust == before {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// explainEarly says what can be done about an error that has not gone by waiting.
func explainEarly(err error) error {
	var r *pki.Refusal
	if !errors.As(err, &r) || r.Reason != pki.NoCRL {
		return cli.WithHint(err, "the VPN's authority may have another key that this host has not heard of: \"campagnol status\" names the authorities that bulletins "+
			"have added; ask again in a moment, or add its new certificate (cacert.pem in the folder of the authority) to ca_certificates")
	}
	plain := *r
	plain.Remedy = "" // is about peers
	return cli.WithHint(&plain, "the rendezvous server has not brought the list of the authority's new key yet: ask again in a moment; "+
		"if it brings none, make one with \"campagnol ca crl\" where the authority is, and copy it to crl_file")
}
