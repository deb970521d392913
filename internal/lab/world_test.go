package lab

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"campagnol/conf"
)

// TestClientConfig checks that the configuration means what it should to the
// client, however odd the paths are.
func TestClientConfig(t *testing.T) {
	creds := Credentials{
		Certificate: `/tmp/a folder #1; with "quotes"/cert.pem`,
		Key:         `/tmp/${HOME}/$$/back\slash\n.pem`,
		CA:          "/tmp/ca.pem",
	}
	text := clientConfig(1, netip.MustParseAddr("203.0.113.10"), creds, "/tmp/state", modeTUN)
	c, problems, err := conf.ParseClient("campagnol.conf", []byte(text))
	if err != nil || len(problems) != 0 {
		t.Fatalf("the configuration has problems: %v, %v\n%s", problems, err, text)
	}
	for _, v := range []struct {
		key       string
		got, want any
	}{
		{"server_host", c.ServerHost, "203.0.113.10"},
		{"server_port", c.ServerPort, uint16(57888)},
		{"vpn_ip", c.VPNIP, netip.MustParseAddr("10.9.0.2")},
		{"network", c.Network, netip.MustParsePrefix("10.9.0.0/24")},
		{"certificate", c.Certificate, creds.Certificate},
		{"key", c.Key, creds.Key},
		{"ca_certificates", c.CACertificates, creds.CA},
		{"timeout", c.Timeout, 5 * time.Second},
		{"keepalive", c.KeepAlive, 2 * time.Second},
		{"state_dir", c.StateDir, "/tmp/state"},
		{"control_socket", c.ControlSocket, "/tmp/state/control.sock"},
	} {
		if v.got != v.want {
			t.Errorf("%s is %v, want %v", v.key, v.got, v.want)
		}
	}
}

func TestVPNAddresses(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{vpnAddr(0).String(), "10.9.0.1"},
		{vpnAddr(maxPeers - 1).String(), "10.9.0.100"},
		{vpnBroadcast().String(), "10.9.0.255:9999"},
		{nameOf(0), "peer1"},
		{nameOf(theServer), "rdv"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

var reportSteps = []Step{
	{Name: "network", Time: 0.25, OK: true, Text: "two peers", Data: Topology{
		Lab: "x", Server: nth(internet4, 10),
		Peers: []PeerPlace{{netip.MustParseAddr("192.168.1.2"), "nat1", nth(internet4, 11)}, {Addr: nth(internet4, 12)}},
	}},
	{Name: "rdv", Time: 12.5, Text: "FAILED: it ended\nat once", Data: []LogTail{{"rdv", "one\ntwo <&>\n"}}},
}

func TestTextReport(t *testing.T) {
	var b bytes.Buffer
	report := TextReport(&b)
	for _, s := range reportSteps {
		report(s)
	}
	want := `   0.250s  network       two peers
  12.500s  rdv           FAILED: it ended
                         at once

    the end of the log of rdv:
    | one
    | two <&>

`
	if got := b.String(); got != want {
		t.Errorf("the report is\n%s\nwant\n%s", got, want)
	}
}

func TestJSONReport(t *testing.T) {
	var b bytes.Buffer
	report := JSONReport(&b)
	for _, s := range append(reportSteps, Step{Name: "odd", Data: make(chan int)}) {
		report(s)
	}
	want := `{"step":"network","time":0.25,"ok":true,"text":"two peers","data":{"lab":"x","server":"203.0.113.10","peers":[{"addr":"192.168.1.2","nat":"nat1","outer":"203.0.113.11"},{"addr":"203.0.113.12"}]}}
{"step":"rdv","time":12.5,"ok":false,"text":"FAILED: it ended\nat once","data":[{"who":"rdv","tail":"one\ntwo <&>\n"}]}
{"step":"odd","time":0,"ok":false,"text":""}
`
	if got := b.String(); got != want {
		t.Errorf("the report is\n%s\nwant\n%s", got, want)
	}
	for line := range strings.Lines(b.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
}
