package main

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"campagnol/punch/portmap"
)

// TestNetcheckPortMapping: what the gateway has said is in a line.
func TestNetcheckPortMapping(t *testing.T) {
	way := portmap.Way{Gateway: netip.MustParseAddr("192.168.1.1")}
	for _, c := range []struct {
		report portmap.Report
		err    error
		want   string
	}{
		{portmap.Report{}, errors.New("no gateway\n"), "none: no gateway?"},
		{portmap.Report{Way: way, Answers: []portmap.Answer{{Method: portmap.PCP, Reason: "silent"}}}, nil, "192.168.1.1 speaks none of PCP, NAT-PMP and UPnP"},
		{portmap.Report{Way: way, Answers: []portmap.Answer{{Method: portmap.PCP, Speaks: true},
			{Method: portmap.NATPMP, Speaks: true, External: netip.MustParseAddr("203.0.113.1")}, {Method: portmap.UPnP}}}, nil,
			"192.168.1.1 speaks PCP, NAT-PMP; outside it is 203.0.113.1"},
		{portmap.Report{Way: way, Answers: []portmap.Answer{{Method: portmap.UPnP, Speaks: true, External: netip.MustParseAddr("100.64.0.2")}}}, nil,
			"192.168.1.1 speaks UPnP; outside it is 100.64.0.2, which is a private address: there is another NAT behind it"},
	} {
		f := &familyReport{Family: "IPv4", Addresses: []netip.Addr{netip.MustParseAddr("192.168.1.2")}, UDP: "works", Mapping: mappingReportOf(c.report, c.err)}
		if got := f.Mapping.describe(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
		var b bytes.Buffer
		if f.write(&b, ""); !strings.Contains(b.String(), "\n  port mapping\t"+c.want+"\n") {
			t.Errorf("the report is\n%s", &b)
		}
	}
}
