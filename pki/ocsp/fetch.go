package ocsp

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"golang.org/x/crypto/ocsp"
)

// Limits on one question.
const (
	askTime       = 3 * time.Second // for all responders of a certificate
	maxResponders = 2               // of a certificate that are asked
	maxURL        = 2 << 10         // bytes of the address of a responder
	maxResponse   = 64 << 10        // bytes of an answer
	maxHeader     = 16 << 10        // bytes of the HTTP header before it
)

// Faults that are the same for all who ask.
var (
	errNoResponder = errors.New("it names no responder that could be asked")
	errTooLarge    = fmt.Errorf("the answer is longer than %d bytes", maxResponse)
	errSilent      = errors.New("the responder did not answer a moment ago")
)

// remedyFor returns what can be done about a fault.
func remedyFor(fault error) string {
	if errors.Is(fault, errNoResponder) {
		return `issue one that does: "campagnol ca issue NAME --renew --ocsp URL"; or let such peers pass with "yes" in place of "require"`
	}
	return `see to the responder; "yes" in place of "require" lets peers pass without an answer`
}

// responders returns the responders that a certificate names and that we ask.
func responders(leaf *x509.Certificate) []*url.URL {
	var list []*url.URL
	for _, s := range leaf.OCSPServer {
		if len(list) == maxResponders {
			break
		}
		if u, err := ParseURL(s); err == nil {
			list = append(list, u)
		}
	}
	return list
}

// ParseURL reads the address of a responder, as it is in a certificate. Only what
// would be asked is accepted.
func ParseURL(text string) (*url.URL, error) {
	if len(text) > maxURL {
		return nil, fmt.Errorf("the address of the responder is longer than %d bytes", maxURL)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%q is not the address of a responder", text)
	case u.Scheme != "http":
		return nil, fmt.Errorf("%q: responders are asked over http only; their answers are signed", text)
	case u.Hostname() == "" || u.User != nil || u.Fragment != "" || u.Opaque != "":
		return nil, fmt.Errorf("%q is not the address of a responder, such as http://ocsp.example.org:8080/", text)
	}
	return u, nil
}

// newTransport returns what carries questions: straight to the responder, without
// a proxy, which would connect where we do not, one connection for each.
func (c *Checker) newTransport() http.RoundTripper {
	d := &net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("the address %s cannot be read", address)
		}
		return c.admit(ap.Addr())
	}}
	return &http.Transport{
		DialContext:            d.DialContext,
		DisableKeepAlives:      true,
		DisableCompression:     true, // a small answer could become a large one
		MaxResponseHeaderBytes: maxHeader,
	}
}

// Avoid names the network that must not be asked: the VPN, since a question to a
// host in it would wait for a tunnel that waits for the answer. The zero Prefix is
// none.
func (c *Checker) Avoid(vpn netip.Prefix) { c.avoid.Store(&vpn) }

// admit refuses addresses that are not to be asked. It sees where the connection
// goes, whatever a name has stood for before.
func (c *Checker) admit(addr netip.Addr) error {
	addr = addr.Unmap().WithZone("")
	if vpn := c.avoid.Load(); vpn != nil && vpn.Contains(addr) {
		return fmt.Errorf("the responder is in the VPN itself (%v), where it is not asked", addr)
	}
	if !addr.IsGlobalUnicast() { // not loopback, link-local, multicast or unspecified
		return fmt.Errorf("a responder at %v is not asked: it is no address of a host for others", addr)
	}
	return nil
}

// fetch asks a responder about a certificate.
func (c *Checker) fetch(ctx context.Context, responder *url.URL, leaf, issuer *x509.Certificate) (answer, error) {
	request, err := ocsp.CreateRequest(leaf, issuer, nil)
	if err != nil {
		return answer{}, fmt.Errorf("the question cannot be put: %w", err)
	}
	der, err := c.post(ctx, responder, request)
	if err != nil {
		return answer{}, err
	}
	return parseAnswer(time.Now(), der, leaf, issuer)
}

// A transportError says that nothing came back, so that other questions to the
// same responder would fare no better.
type transportError struct{ err error }

func (e *transportError) Error() string {
	if errors.Is(e.err, context.DeadlineExceeded) {
		return "the responder did not answer in time"
	}
	return "the responder cannot be asked: " + e.err.Error()
}
func (e *transportError) Unwrap() error { return e.err }

// post sends a request (RFC 6960 appendix A) and returns the response.
func (c *Checker) post(ctx context.Context, to *url.URL, request []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(request))
	if err != nil {
		return nil, &transportError{err}
	}
	r.Header.Set("Content-Type", "application/ocsp-request")
	r.Header.Set("Accept", "application/ocsp-response")
	resp, err := c.transport.RoundTrip(r) // which follows no redirects
	if err != nil {
		return nil, &transportError{err}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the responder answers with HTTP status %d", resp.StatusCode)
	}
	der, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	switch {
	case err != nil:
		return nil, &transportError{err}
	case len(der) > maxResponse:
		return nil, errTooLarge
	}
	return der, nil
}
