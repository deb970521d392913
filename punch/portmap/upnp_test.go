package portmap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/huin/goupnp/soap"
)

// TestCheckURL: a gateway cannot send us to anybody but itself.
func TestCheckURL(t *testing.T) {
	gateway := netip.MustParseAddr("192.168.1.1")
	for text, want := range map[string]bool{
		"http://192.168.1.1:5000/root.xml":        true,
		"http://192.168.1.1/root.xml":             true,
		"http://[::ffff:192.168.1.1]:5000/":       true,
		"http://192.168.1.2:5000/root.xml":        false,
		"http://127.0.0.1:5000/root.xml":          false,
		"http://169.254.169.254/latest/meta-data": false,
		"http://router.example.org/root.xml":      false,
		"http://localhost/":                       false,
		"https://192.168.1.1/root.xml":            false,
		"file:///etc/passwd":                      false,
		"http://user:word@192.168.1.1/":           false,
		"http://192.168.1.1@192.168.1.2/":         false,
		"http://192.168.1.1:0/":                   false,
		"http://192.168.1.1:99999/":               false,
		"http://3232235777/":                      false, // 192.168.1.1 as a number
		"http://0xc0a80101/":                      false,
		"/root.xml":                               false,
		"":                                        false,
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := checkURL(u, gateway) == nil; got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

const ssdpAnswer = "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nST: " + gatewayDevice + "\r\nUSN: uuid:1::" + gatewayDevice +
	"\r\nEXT:\r\nSERVER: x UPnP/1.1 y\r\nLOCATION: http://127.0.0.1:5000/root.xml\r\n\r\n"

func TestParseSSDP(t *testing.T) {
	gateway := netip.MustParseAddr("127.0.0.1")
	req := &http.Request{Method: "M-SEARCH"}
	for _, c := range []struct {
		name, in string
		ok       bool
	}{
		{"good", ssdpAnswer, true},
		{"not found", strings.Replace(ssdpAnswer, "200 OK", "404 Not Found", 1), false},
		{"another place", strings.Replace(ssdpAnswer, "127.0.0.1", "127.0.0.2", 1), false},
		{"a name", strings.Replace(ssdpAnswer, "127.0.0.1", "localhost", 1), false},
		{"no place", strings.Replace(ssdpAnswer, "LOCATION", "LOCALITY", 1), false},
		{"a notice", strings.Replace(ssdpAnswer, "HTTP/1.1 200 OK", "NOTIFY * HTTP/1.1", 1), false},
		{"half", ssdpAnswer[:40], false},
		{"nothing", "", false},
	} {
		r, err := parseSSDP([]byte(c.in), req, gateway)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v, want %v", c.name, err, c.ok)
		}
		if err != nil {
			continue
		}
		if loc, err := r.Location(); err != nil || loc.String() != "http://127.0.0.1:5000/root.xml" {
			t.Errorf("%s: at %v (%v)", c.name, loc, err)
		}
	}
}

func FuzzParseSSDP(f *testing.F) {
	f.Add([]byte(ssdpAnswer))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nLocation: http://127.0.0.1/\r\n\r\nffffffff\r\n"))
	gateway, req := netip.MustParseAddr("127.0.0.1"), &http.Request{Method: "M-SEARCH"}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseSSDP(b, req, gateway)
		if err != nil {
			return
		}
		if loc, err := r.Location(); err != nil || checkURL(loc, gateway) != nil {
			t.Errorf("sends us to %v (%v)", loc, err)
		}
	})
}

// description is that of a gateway; the service of the second version is in a device of
// a device, as they are.
func description(base, control string) string {
	return `<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major><minor>1</minor></specVersion>` + base + `
<device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:2</deviceType><friendlyName>g</friendlyName>
<deviceList><device><deviceType>urn:schemas-upnp-org:device:WANDevice:2</deviceType>
<deviceList><device><deviceType>urn:schemas-upnp-org:device:WANConnectionDevice:2</deviceType>
<serviceList><service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:2</serviceType><serviceId>a</serviceId>
<controlURL>` + control + `</controlURL><eventSubURL>/e</eventSubURL><SCPDURL>/s</SCPDURL></service></serviceList>
</device></deviceList></device></deviceList></device></root>`
}

// TestDescription: services count if they are at the gateway.
func TestDescription(t *testing.T) {
	gateway := netip.MustParseAddr("127.0.0.1")
	loc, err := url.Parse("http://127.0.0.1:5000/root.xml")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, text string
		want       int // services
	}{
		{"as usual", description("", "/ctl"), 1},
		{"without a slash", description("", "ctl"), 1},
		{"a whole URL", description("", "http://127.0.0.1:6000/ctl"), 1},
		{"with a base", description("<URLBase>http://127.0.0.1:6000/</URLBase>", "/ctl"), 1},
		{"a base elsewhere", description("<URLBase>http://127.0.0.2:6000/</URLBase>", "/ctl"), 0},
		{"an empty base", description("<URLBase></URLBase>", "/ctl"), 1},
		{"elsewhere", description("", "http://127.0.0.2:6000/ctl"), 0},
		{"elsewhere, without a scheme", description("", "//127.0.0.2/ctl"), 0},
		{"another scheme", description("", "https://127.0.0.1/ctl"), 0},
		{"PPP", strings.Replace(description("", "/ctl"), "WANIPConnection:2", "WANPPPConnection:1", 1), 1},
		{"another service", strings.Replace(description("", "/ctl"), "WANIPConnection:2", "Printer:1", 1), 0},
		{"many", manyServices(100), maxServices},
	} {
		root, err := parseDescription(strings.NewReader(c.text), loc)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		s := newUPnP(Way{Gateway: gateway, Local: gateway})
		if got := len(s.services(root, loc)); got != c.want {
			t.Errorf("%s: %d services, want %d", c.name, got, c.want)
		}
	}
	for _, text := range []string{"", "<", "<html></html>", description("", "/ctl")[:300]} {
		if _, err := parseDescription(strings.NewReader(text), loc); err == nil {
			t.Errorf("%.20q is a description", text)
		}
	}
}

func manyServices(n int) string {
	text := description("", "/ctl")
	begin, end := strings.Index(text, "<service>"), strings.Index(text, "</serviceList>")
	return text[:begin] + strings.Repeat(text[begin:end], n) + text[end:]
}

func FuzzDescription(f *testing.F) {
	f.Add([]byte(description("", "/ctl")))
	f.Add([]byte(description("<URLBase>http://127.0.0.2/</URLBase>", "//x")))
	f.Add([]byte(manyServices(3)))
	gateway := netip.MustParseAddr("127.0.0.1")
	loc, err := url.Parse("http://127.0.0.1:5000/root.xml")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		root, err := parseDescription(bytes.NewReader(b), loc)
		if err != nil {
			return
		}
		s := newUPnP(Way{Gateway: gateway, Local: gateway})
		if n := len(s.services(root, loc)); n > maxServices {
			t.Errorf("%d services", n)
		}
	})
}

// A fakeIGD is a gateway's table of ports.
type fakeIGD struct {
	outer     string
	taken     map[uint16]string // owner of a port
	permanent bool              // no leases
	asked     int
}

func fault(code int) error {
	e := &soap.SOAPFaultError{FaultCode: "s:Client"}
	e.Detail.UPnPError.Errorcode, e.Detail.UPnPError.ErrorDescription = code, "because"
	return e
}

func (f *fakeIGD) AddPortMappingCtx(_ context.Context, _ string, external uint16, protocol string, _ uint16, client string, enabled bool, _ string, lease uint32) error {
	f.asked++
	switch owner := f.taken[external]; {
	case protocol != "UDP" || !enabled:
		return fault(402)
	case f.permanent && lease != 0:
		return fault(upnpOnlyPermanent)
	case owner != "" && owner != client:
		return fault(upnpConflict)
	}
	f.taken[external] = client
	return nil
}

func (f *fakeIGD) DeletePortMappingCtx(_ context.Context, _ string, external uint16, _ string) error {
	if f.taken[external] == "" {
		return fault(upnpNoSuchEntry)
	}
	delete(f.taken, external)
	return nil
}

func (f *fakeIGD) GetExternalIPAddressCtx(context.Context) (string, error) {
	if f.outer == "" {
		return "", fault(501)
	}
	return f.outer, nil
}

func (f *fakeIGD) GetSpecificPortMappingEntryCtx(_ context.Context, _ string, external uint16, _ string) (uint16, string, bool, string, uint32, error) {
	owner := f.taken[external]
	if owner == "" {
		return 0, "", false, "", 0, fault(upnpNoSuchEntry)
	}
	return external, owner, true, "", 0, nil
}

// A fakeIGD2 chooses a port itself.
type fakeIGD2 struct{ fakeIGD }

func (f *fakeIGD2) AddAnyPortMappingCtx(ctx context.Context, remote string, _ uint16, protocol string, internal uint16, client string, enabled bool, text string, lease uint32) (uint16, error) {
	return 9999, f.AddPortMappingCtx(ctx, remote, 9999, protocol, internal, client, enabled, text, lease)
}

// TestUPnPAsk: ports that are taken, and gateways that know no leases.
func TestUPnPAsk(t *testing.T) {
	const other = "192.168.1.9"
	all := map[uint16]string{}
	for p := range 65536 {
		all[uint16(p)] = other
	}
	for _, c := range []struct {
		name     string
		igd      igd
		lifetime time.Duration
		port     func(p uint16) bool
		code     int // of the refusal; -1: another error
	}{
		{"free", &fakeIGD{outer: "11.0.0.1", taken: map[uint16]string{}}, time.Hour, func(p uint16) bool { return p == 4501 }, 0},
		{"ours already", &fakeIGD{outer: "11.0.0.1", taken: map[uint16]string{4501: "192.168.1.2"}}, time.Hour, func(p uint16) bool { return p == 4501 }, 0},
		{"taken", &fakeIGD{outer: "11.0.0.1", taken: map[uint16]string{4501: other}}, time.Hour, func(p uint16) bool { return p >= 32768 && p < 61000 }, 0},
		{"taken, chooses", &fakeIGD2{fakeIGD{outer: "11.0.0.1", taken: map[uint16]string{4501: other}}}, time.Hour, func(p uint16) bool { return p == 9999 }, 0},
		{"for ever", &fakeIGD{outer: "11.0.0.1", taken: map[uint16]string{}, permanent: true}, 0, func(p uint16) bool { return p == 4501 }, 0},
		{"all taken", &fakeIGD{outer: "11.0.0.1", taken: all}, 0, nil, upnpConflict},
		{"no outer address", &fakeIGD{taken: map[uint16]string{}}, 0, nil, 501},
		{"no address at all", &fakeIGD{outer: "0.0.0.0", taken: map[uint16]string{}}, 0, nil, -1},
		{"garbage", &fakeIGD{outer: "<script>", taken: map[uint16]string{}}, 0, nil, -1},
	} {
		s := &upnpSpeaker{way: testWay, service: c.igd}
		g, err := s.ask(t.Context(), wish{port: 4501, lifetime: time.Hour})
		var refused *Refusal
		switch {
		case c.code == -1 && (err == nil || errors.As(err, &refused)):
			t.Errorf("%s: %v", c.name, err)
		case c.code > 0 && (!errors.As(err, &refused) || refused.Code != c.code || refused.Method != UPnP):
			t.Errorf("%s: %v, want code %d", c.name, err, c.code)
		case c.code == 0 && (err != nil || !c.port(g.external.Port()) || g.external.Addr() != netip.MustParseAddr("11.0.0.1") || g.lifetime != c.lifetime):
			t.Errorf("%s: %+v, %v", c.name, g, err)
		}
		if f, ok := c.igd.(*fakeIGD); ok && f.asked > anyTries+1 {
			t.Errorf("%s: asked %d times", c.name, f.asked)
		}
	}
}

// TestUPnPCheck: an entry that is gone, or another's, is lost.
func TestUPnPCheck(t *testing.T) {
	f := &fakeIGD{outer: "11.0.0.1", taken: map[uint16]string{}}
	s := &upnpSpeaker{way: testWay, service: f}
	g, err := s.ask(t.Context(), wish{port: 4501, lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		do   func()
		lost bool
	}{
		{"there", func() {}, false},
		{"gone", func() { clear(f.taken) }, true},
		{"another's", func() { f.taken[4501] = "192.168.1.9" }, true},
	} {
		c.do()
		if p, err := s.check(t.Context(), g.external); err != nil || p.lost != c.lost || p.external.String() != "11.0.0.1" {
			t.Errorf("%s: %+v, %v", c.name, p, err)
		}
	}
	f.taken[4501] = "192.168.1.2"
	if err := s.remove(t.Context(), wish{port: 4501}, g.external); err != nil || len(f.taken) != 0 {
		t.Errorf("removed: %v, left %v", err, f.taken)
	}
	if err := s.remove(t.Context(), wish{port: 4501}, g.external); err == nil {
		t.Error("removed twice")
	}
}

// TestUPnPUnfound: a speaker whose gateway was not found asks for nothing.
func TestUPnPUnfound(t *testing.T) {
	s := newUPnP(testWay)
	_, asked := s.ask(t.Context(), wish{})
	_, checked := s.check(t.Context(), testOuter)
	for _, err := range []error{asked, checked, s.remove(t.Context(), wish{}, testOuter)} {
		if !errors.Is(err, errSilent) {
			t.Error(err)
		}
	}
}

// TestUPnPErrors: what a gateway says is cut, and cannot play with a terminal.
func TestUPnPErrors(t *testing.T) {
	e := fault(606).(*soap.SOAPFaultError)
	e.Detail.UPnPError.ErrorDescription = "\x1b[31m" + strings.Repeat("x", 10_000)
	text := upnpError(fmt.Errorf("wrapped: %w", e)).Error()
	if len(text) > 300 || strings.Contains(text, "\x1b") || !strings.Contains(text, "606") {
		t.Errorf("%d bytes: %.200s", len(text), text)
	}
	if err := upnpError(nil); err != nil {
		t.Error(err)
	}
	if err := pmpError(errors.New("Non-zero result code 3 (Network Failure)")); err.Error() != "the gateway refuses by NAT-PMP: its own network does not work (code 3)" {
		t.Error(err)
	}
	if err := pmpError(errors.New("Timed out trying to contact gateway")); !errors.Is(err, errSilent) {
		t.Error(err)
	}
	for code := range 10 {
		if pmpResult(code) == "" {
			t.Errorf("no words for code %d", code)
		}
	}
}
