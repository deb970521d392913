package portmap

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/huin/goupnp/ssdp"
)

const (
	// gatewayDevice is what to search for. Devices of later versions answer to
	// searches for this one (UPnP Device Architecture 1.1 section 1.3.3).
	gatewayDevice = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"

	ssdpPort = 1900
	ssdpMax  = 2048 // bytes of an answer that are read

	// searchLimit is how many datagrams of strangers we look at in one search.
	searchLimit = 256

	ssdpSends = 3
)

var ssdpGroup = netip.MustParseAddr("239.255.255.250")

// A finder sends a search to everybody in the local network, as most devices want it,
// and to the gateway alone, in case that a switch loses multicast. It is the transport
// of the library's search, whose own one takes answers from anybody, and waits for all.
type finder struct{ way Way }

// find returns where the gateway describes itself.
func (f finder) find(ctx context.Context) (*url.URL, error) {
	// The library makes of the time that is left the whole seconds in which devices
	// are to answer: one.
	ctx, cancel := withinOwn(ctx, 2*time.Second-time.Millisecond)
	defer cancel()
	responses, err := ssdp.RawSearch(ctx, f, gatewayDevice, ssdpSends)
	if err != nil {
		return nil, fmt.Errorf("UPnP: search: %w", err)
	}
	for _, r := range responses {
		if loc, err := r.Location(); err == nil {
			return loc, nil
		}
	}
	return nil, fmt.Errorf("UPnP: %w", errSilent)
}

// withinOwn returns a context that ends with ctx, but has a deadline of its own.
func withinOwn(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), d)
	stop := context.AfterFunc(ctx, cancel)
	return own, func() { stop(); cancel() }
}

// DoWithContext sends a search until the gateway has answered, and returns its answer.
func (f finder) DoWithContext(req *http.Request, sends int) ([]*http.Response, error) {
	ctx := req.Context()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(f.way.Local, 0)))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })()
	var msg bytes.Buffer
	fmt.Fprintf(&msg, "%s * HTTP/1.1\r\n", req.Method)
	if err := req.Header.Write(&msg); err != nil {
		return nil, err
	}
	msg.WriteString("\r\n")
	looked := 0
	for wait := firstWait; sends > 0 && ctx.Err() == nil; sends-- {
		if err := f.send(conn, msg.Bytes()); err != nil {
			return nil, err
		}
		until := time.Now().Add(wait)
		if sends == 1 {
			until, _ = ctx.Deadline()
		}
		if r := f.receive(ctx, conn, req, until, &looked); r != nil {
			return []*http.Response{r}, nil
		}
	}
	return nil, nil
}

// send sends a search. That one of the two does not leave is no reason to give up.
func (f finder) send(conn *net.UDPConn, msg []byte) error {
	var errs []error
	for _, to := range [...]netip.Addr{ssdpGroup, f.way.Gateway} {
		if _, err := conn.WriteToUDPAddrPort(msg, netip.AddrPortFrom(to, ssdpPort)); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == 2 {
		return errors.Join(errs...)
	}
	return nil
}

// receive returns the first usable answer of the gateway before until, nil if there is
// none.
func (f finder) receive(ctx context.Context, conn *net.UDPConn, req *http.Request, until time.Time, looked *int) *http.Response {
	conn.SetReadDeadline(until)
	buf := make([]byte, ssdpMax)
	for ; *looked < searchLimit && ctx.Err() == nil; *looked++ {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return nil
		}
		if from.Addr().Unmap() != f.way.Gateway {
			continue
		}
		if r, err := parseSSDP(buf[:n], req, f.way.Gateway); err == nil {
			return r
		}
	}
	return nil
}

// parseSSDP reads an answer to a search.
func parseSSDP(b []byte, req *http.Request, gateway netip.Addr) (*http.Response, error) {
	r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(bytes.Clone(b))), req)
	if err != nil {
		return nil, err
	}
	r.Body.Close() // an answer has none
	if r.StatusCode != http.StatusOK {
		return nil, errors.New(r.Status)
	}
	loc, err := r.Location()
	if err != nil {
		return nil, err
	}
	return r, checkURL(loc, gateway)
}

// checkURL reports why a place that the gateway, or somebody in its name, wants us to
// ask is not one: we ask nobody but the gateway itself, so that nobody can send us to
// a service elsewhere that trusts this host. Names are not resolved for the same
// reason.
func checkURL(u *url.URL, gateway netip.Addr) error {
	host, err := netip.ParseAddr(u.Hostname())
	port, perr := strconv.ParseUint(u.Port(), 10, 16)
	switch {
	case u.Scheme != "http", u.User != nil, err != nil, host.Unmap() != gateway.WithZone(""):
		return fmt.Errorf("UPnP: the gateway %v sends us elsewhere: %.100q", gateway, u.Redacted())
	case u.Port() != "" && (perr != nil || port == 0):
		return fmt.Errorf("UPnP: the gateway %v names no port: %.100q", gateway, u.Redacted())
	}
	return nil
}
