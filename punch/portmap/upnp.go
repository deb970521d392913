package portmap

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/huin/goupnp"
	"github.com/huin/goupnp/dcps/internetgateway2"
	"github.com/huin/goupnp/soap"
)

const (
	// maxDescription is how many bytes a gateway may answer. Descriptions of
	// routers have up to 30 kB.
	maxDescription = 256 << 10
	// maxServices is how many services of a gateway we try.
	maxServices = 4
	// anyTries is how many outer ports we try if ours is taken.
	anyTries = 4
)

// Error codes of the services (WANIPConnection:2 section 2.5).
const (
	upnpNoSuchEntry      = 714
	upnpConflict         = 718
	upnpSamePort         = 724
	upnpOnlyPermanent    = 725
	upnpConflictWithElse = 729
)

// An igd is a service of a gateway that forwards ports, of any version.
type igd interface {
	AddPortMappingCtx(ctx context.Context, remote string, external uint16, protocol string, internal uint16, client string, enabled bool, description string, lease uint32) error
	DeletePortMappingCtx(ctx context.Context, remote string, external uint16, protocol string) error
	GetExternalIPAddressCtx(ctx context.Context) (string, error)
	GetSpecificPortMappingEntryCtx(ctx context.Context, remote string, external uint16, protocol string) (internal uint16, client string, enabled bool, description string, lease uint32, err error)
}

// An anyPorter is an igd that finds a port which is free (WANIPConnection:2).
type anyPorter interface {
	AddAnyPortMappingCtx(ctx context.Context, remote string, external uint16, protocol string, internal uint16, client string, enabled bool, description string, lease uint32) (uint16, error)
}

// A upnpSpeaker asks by UPnP. Services are found once.
type upnpSpeaker struct {
	way      Way
	http     *http.Client
	service  igd
	external netip.Addr // when it was asked last
}

func newUPnP(w Way) *upnpSpeaker { return &upnpSpeaker{way: w, http: gatewayHTTP(w)} }

// gatewayHTTP returns a client that talks to the gateway and to nobody else, whatever
// a URL says, follows no redirects, and reads no more than it should.
func gatewayHTTP(w Way) *http.Client {
	dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(w.Local, 0))}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &bounded{way: w, next: &http.Transport{
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: 16 << 10,
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				to, err := netip.ParseAddrPort(addr)
				if err != nil || to.Addr().Unmap() != w.Gateway {
					return nil, fmt.Errorf("UPnP: %.100q is not the gateway", addr)
				}
				return dialer.DialContext(ctx, network, addr)
			},
		}},
	}
}

// A bounded transport checks where requests go, and cuts answers.
type bounded struct {
	way  Way
	next http.RoundTripper
}

func (b *bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := checkURL(req.URL, b.way.Gateway); err != nil {
		return nil, err
	}
	r, err := b.next.RoundTrip(req)
	if err == nil {
		r.Body = &cut{io.LimitReader(r.Body, maxDescription), r.Body}
	}
	return r, err
}

// A cut body is closed as a whole.
type cut struct {
	io.Reader
	io.Closer
}

func (s *upnpSpeaker) hello(ctx context.Context) (pulse, error) {
	loc, err := finder{s.way}.find(ctx)
	if err != nil {
		return pulse{}, err
	}
	root, err := s.describe(ctx, loc)
	if err != nil {
		return pulse{}, err
	}
	var why error = errors.New("UPnP: the gateway has no service that forwards ports")
	for _, service := range s.services(root, loc) {
		if s.external, why = externalOf(ctx, service); why == nil {
			s.service = service
			return pulse{external: s.external}, nil
		}
	}
	return pulse{}, why
}

// describe fetches the description of the gateway.
func (s *upnpSpeaker) describe(ctx context.Context, loc *url.URL) (*goupnp.RootDevice, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, loc.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("UPnP: %w", err)
	}
	r, err := s.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("UPnP: fetch the description: %w", err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("UPnP: fetch the description: %.100s", r.Status)
	}
	return parseDescription(r.Body, loc)
}

// parseDescription reads a description that was found at loc.
func parseDescription(r io.Reader, loc *url.URL) (*goupnp.RootDevice, error) {
	d := xml.NewDecoder(r)
	d.DefaultSpace = goupnp.DeviceXMLNamespace
	root := new(goupnp.RootDevice)
	if err := d.Decode(root); err != nil {
		return nil, fmt.Errorf("UPnP: read the description: %w", err)
	}
	base := loc
	if u, err := url.Parse(root.URLBaseStr); err == nil && u.Host != "" {
		base = u
	}
	root.SetURLBase(base)
	return root, nil
}

// services returns the services of a gateway that forward ports, the newest first. What
// is elsewhere does not count.
func (s *upnpSpeaker) services(root *goupnp.RootDevice, loc *url.URL) (list []igd) {
	for _, kind := range [...]string{internetgateway2.URN_WANIPConnection_2, internetgateway2.URN_WANIPConnection_1, internetgateway2.URN_WANPPPConnection_1} {
		for _, found := range root.Device.FindService(kind) {
			if !found.ControlURL.Ok || checkURL(&found.ControlURL.URL, s.way.Gateway) != nil || len(list) == maxServices {
				continue
			}
			client := goupnp.ServiceClient{SOAPClient: found.NewSOAPClient(), RootDevice: root, Location: loc, Service: found}
			client.SOAPClient.HTTPClient = *s.http
			switch kind {
			case internetgateway2.URN_WANIPConnection_2:
				list = append(list, &internetgateway2.WANIPConnection2{ServiceClient: client})
			case internetgateway2.URN_WANIPConnection_1:
				list = append(list, &internetgateway2.WANIPConnection1{ServiceClient: client})
			default:
				list = append(list, &internetgateway2.WANPPPConnection1{ServiceClient: client})
			}
		}
	}
	return list
}

// externalOf returns the outer address of a gateway.
func externalOf(ctx context.Context, service igd) (netip.Addr, error) {
	text, err := service.GetExternalIPAddressCtx(ctx)
	if err != nil {
		return netip.Addr{}, upnpError(err)
	}
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() || !usableAddr(a) {
		return netip.Addr{}, fmt.Errorf("UPnP: the gateway has no outer address: %.40q", text)
	}
	return a, nil
}

func (s *upnpSpeaker) ask(ctx context.Context, w wish) (g grant, err error) {
	if s.service == nil {
		return g, fmt.Errorf("UPnP: %w", errSilent)
	}
	if s.external, err = externalOf(ctx, s.service); err != nil {
		return g, err
	}
	lifetime := w.lifetime
	port, err := s.add(ctx, w, lifetime)
	if codeOf(err) == upnpOnlyPermanent {
		lifetime = 0 // until we remove it
		port, err = s.add(ctx, w, lifetime)
	}
	if err != nil {
		return g, upnpError(err)
	}
	g = grant{external: netip.AddrPortFrom(s.external, port), lifetime: lifetime, pulse: pulse{external: s.external}}
	if !usable(g.external) {
		err = fmt.Errorf("UPnP: the gateway gives %v, which is of no use", g.external)
	}
	return g, err
}

// add has the suggested port forwarded, or another if that is taken.
func (s *upnpSpeaker) add(ctx context.Context, w wish, lifetime time.Duration) (uint16, error) {
	client, seconds := s.way.Local.String(), uint32(lifetime/time.Second)
	text := fmt.Sprintf("campagnol %d", w.port)
	port := w.suggested()
	err := s.service.AddPortMappingCtx(ctx, "", port, "UDP", w.port, client, true, text, seconds)
	if s2, ok := s.service.(anyPorter); ok && isTaken(err) {
		return s2.AddAnyPortMappingCtx(ctx, "", port, "UDP", w.port, client, true, text, seconds)
	}
	for range anyTries {
		if !isTaken(err) {
			break
		}
		port = uint16(32768 + rand.IntN(28232)) // those of clients, which nobody asks for
		err = s.service.AddPortMappingCtx(ctx, "", port, "UDP", w.port, client, true, text, seconds)
	}
	return port, err
}

func (s *upnpSpeaker) check(ctx context.Context, external netip.AddrPort) (pulse, error) {
	if s.service == nil {
		return pulse{}, fmt.Errorf("UPnP: %w", errSilent)
	}
	a, err := externalOf(ctx, s.service)
	if err != nil {
		return pulse{}, err
	}
	_, client, _, _, _, err := s.service.GetSpecificPortMappingEntryCtx(ctx, "", external.Port(), "UDP")
	switch ours := client == s.way.Local.String(); {
	case codeOf(err) == upnpNoSuchEntry, err == nil && !ours:
		return pulse{external: a, lost: true}, nil
	case err != nil:
		return pulse{}, upnpError(err)
	}
	return pulse{external: a}, nil
}

func (s *upnpSpeaker) remove(ctx context.Context, w wish, external netip.AddrPort) error {
	if s.service == nil {
		return fmt.Errorf("UPnP: %w", errSilent)
	}
	w.external = external
	return upnpError(s.service.DeletePortMappingCtx(ctx, "", w.suggested(), "UDP"))
}

// codeOf returns the code of an error that a service has answered, 0 if it is none.
func codeOf(err error) int {
	var fault *soap.SOAPFaultError
	if !errors.As(err, &fault) {
		return 0
	}
	return fault.Detail.UPnPError.Errorcode
}

// isTaken reports whether an error means that another outer port may do.
func isTaken(err error) bool {
	return slices.Contains([]int{upnpConflict, upnpSamePort, upnpConflictWithElse}, codeOf(err))
}

// upnpError returns an error of the library in our words. What a gateway says is cut.
func upnpError(err error) error {
	var fault *soap.SOAPFaultError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &fault):
		return &Refusal{Method: UPnP, Code: codeOf(err), Text: fmt.Sprintf("%.100q", fault.Detail.UPnPError.ErrorDescription)}
	}
	return fmt.Errorf("UPnP: %w", err)
}
