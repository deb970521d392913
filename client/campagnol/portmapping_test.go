package main

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/internal/control"
)

// TestStatusPortMapping: what people and programs are told of the gateway.
func TestStatusPortMapping(t *testing.T) {
	gateway := netip.MustParseAddr("192.168.1.1")
	held := control.MappedPort{Family: "ipv4", Gateway: gateway, Method: "PCP", External: netip.MustParseAddrPort("11.0.0.1:4501"),
		Since: noon.Add(-time.Minute), Expires: noon.Add(time.Hour + 59*time.Minute)}
	private, forever := held, held
	private.Private, private.External = true, netip.MustParseAddrPort("192.168.0.5:4501")
	forever.Expires, forever.Method = time.Time{}, "UPnP"
	six := control.MappedPort{Family: "ipv6", Reason: "no gateway is known"}
	for _, c := range []struct {
		name string
		in   []control.MappedPort
		want string
	}{
		{"off", nil, ""},
		{"held", []control.MappedPort{held, six}, "the gateway 192.168.1.1 forwards 11.0.0.1:4501 to us (PCP), for 1h59m\n"},
		{"for ever", []control.MappedPort{forever}, "the gateway 192.168.1.1 forwards 11.0.0.1:4501 to us (UPnP)\n"},
		{"private", []control.MappedPort{private}, "the gateway 192.168.1.1 forwards 192.168.0.5:4501 to us (PCP), for 1h59m; that is a private address: there is another NAT behind it\n"},
		{"none", []control.MappedPort{{Family: "ipv4", Gateway: gateway, Reason: "it \x1b[2J says no"}, six}, "no port mapping: it ?[2J says no\n"},
	} {
		s := &control.Status{Time: noon, PortMapping: control.PortMapping{Enabled: true, Mappings: c.in}}
		var b strings.Builder
		statusPortMapping(&b, s, 0)
		if got := b.String(); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if text := statusText(s, nil, 0); !strings.Contains(text, c.want) {
			t.Errorf("%s: not in\n%s", c.name, text)
		}
	}
}

// TestPortMappingDocument: parts that do not run, and a mapping that is not wanted.
func TestPortMappingDocument(t *testing.T) {
	var none *mapping
	none.set(true)
	for _, m := range []*mapping{none, {}} {
		b, err := json.Marshal(m.document())
		if got, want := string(b), `{"enabled":false,"mappings":[]}`; err != nil || got != want {
			t.Errorf("%s (%v), want %s", got, err, want)
		}
	}
}

// TestPortMappingUnwanted: what is not wanted asks nobody, and ends when it is to.
func TestPortMappingUnwanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mapping{changed: make(chan struct{}, 1)}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { m.run(ctx); close(done) }()
		for range 3 {
			m.set(false)
			synctest.Wait()
			if m.mapper.Load() != nil {
				t.Error("the gateway is asked")
			}
		}
		cancel()
		<-done
	})
}
