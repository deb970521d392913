package conf

import (
	"net/netip"
	"testing"
)

// addCases adds all case files to the corpus.
func addCases(f *testing.F) {
	f.Helper()
	for _, name := range cases(f, "*") {
		f.Add(readCase(f, name+".conf"))
	}
	f.Add([]byte(minimal))
	f.Add([]byte(everything))
	f.Add([]byte("[A]\na = ${b}${b}\nb = ${c}${c}\nc = $\n"))
	f.Add([]byte("\ufeff[A]\r\nb=\"\\x\\\r\n\\77\"\\\r\n#"))
}

// FuzzParse checks that no input is too much for the parser, that what it
// returns is within its bounds, that problems point into the file, and that
// what it read can be written and read again.
func FuzzParse(f *testing.F) {
	addCases(f)
	f.Fuzz(func(t *testing.T, src []byte) {
		file, problems := Parse("f", src)
		checkBounds(t, file, len(src))
		checkRoundTrip(t, src)
		lines := 1
		for _, c := range src {
			if c == '\n' {
				lines++
			}
		}
		for _, p := range problems {
			checkStyle(t, p)
			if p.File != "f" || p.Text == "" || p.Pos.Line > lines || p.Pos.Column > len(src)+1 {
				t.Errorf("odd problem %+v in a file of %d lines", p, lines)
			}
			if (p.Pos.Line > 0) != (p.Pos.Column > 0) {
				t.Errorf("half a position: %+v", p)
			}
		}
	})
}

// FuzzClient checks that ParseClient returns, and that a client it accepts
// keeps what its fields promise.
func FuzzClient(f *testing.F) {
	addCases(f)
	f.Fuzz(func(t *testing.T, src []byte) {
		c, problems, err := ParseClient("f", src)
		for _, p := range problems {
			checkStyle(t, p)
		}
		if (c == nil) != (err != nil) {
			t.Fatalf("client %v, error %v", c, err)
		}
		if err != nil {
			if p, ok := err.(Problem); !ok || p.Severity != Error || p.Text == "" {
				t.Fatalf("error %#v, want a Problem", err)
			}
			return
		}
		switch {
		case c.ServerHost == "", c.Certificate == "", c.Key == "", c.StateDir == "",
			c.CACertificates == "" && c.CACertificatesDir == "":
			t.Errorf("something is missing: %+v", c)
		case c.TunMTU < 150, c.FIFOSize < 1, c.TxQueue < 0, c.VerifyDepth < 0, c.MaxClients < 1, c.Queues < 1,
			c.Timeout < 5e9, c.KeepAlive < 1e9:
			t.Errorf("something is too small: %+v", c)
		case !(c.ClientMaxRate >= 0 && c.ClientMaxRate < 1e42), !(c.ConnectionMaxRate >= 0 && c.ConnectionMaxRate < 1e42):
			t.Errorf("no rate: %v, %v", c.ClientMaxRate, c.ConnectionMaxRate)
		case !c.VPNIP.Is4(), !c.Network.IsValid(), !c.Network.Contains(c.VPNIP), !c.Network.Contains(c.Broadcast()):
			t.Errorf("network %v of %v, broadcast %v", c.Network, c.VPNIP, c.Broadcast())
		}
		c.Describe(netip.MustParseAddr("192.0.2.1"))
	})
}
