package conf

import (
	"fmt"
	"math"
	"slices"
)

// An RDV is the configuration of the rendezvous server. It has no file: the
// values come from the command line. Start from [NewRDV].
type RDV struct {
	Port       uint16   // UDP port to listen on; default 57888
	MorePorts  []uint16 // others
	MaxClients int      // greatest number of registered clients; 0: no limit; default 100

	// Verbose says how much is logged: 0 start and end, 1 what happens to
	// clients (-v), 2 each message (-d), 3 its fields too (-d -d).
	Verbose int

	Daemon  bool   // go to the background
	PIDFile string // where the process ID is written in the background; "": nowhere; default /var/run/campagnol_rdv.pid

	portSet  bool
	warnings []string
}

// NewRDV returns the configuration of a server without options.
func NewRDV() *RDV {
	return &RDV{Port: 57888, MaxClients: 100, PIDFile: "/var/run/campagnol_rdv.pid"}
}

// SetPort sets Port from the argument of --port, and appends to MorePorts from that of
// each further one. As in the original, text behind the number is ignored;
// [RDV.Warnings] tells.
func (r *RDV) SetPort(s string) error {
	v, rest, ok := parseInt(s)
	if !ok || v < 1 || v > math.MaxUint16 {
		return fmt.Errorf("%s is not a port number\n"+
			"hint: a port is a whole number from 1 to 65535; the default is 57888", quote(s))
	}
	switch p := uint16(v); {
	case !r.portSet:
		r.Port, r.portSet = p, true
	case p != r.Port && !slices.Contains(r.MorePorts, p):
		r.MorePorts = append(r.MorePorts, p)
	}
	r.rest("the port", s, v, rest)
	return nil
}

// SetMaxClients sets MaxClients from the argument of --max-clients. As in the
// original, text behind the number is ignored; [RDV.Warnings] tells.
func (r *RDV) SetMaxClients(s string) error {
	v, rest, ok := parseInt(s)
	if !ok || v < 0 {
		return fmt.Errorf("%s is not a number of clients\n"+
			"hint: write a whole number, 0 for no limit; the default is 100", quote(s))
	}
	r.MaxClients = v
	r.rest("the number of clients", s, v, rest)
	return nil
}

// Warnings returns what the Set methods accepted although it is most likely a
// mistake, one line for each.
func (r *RDV) Warnings() []string { return r.warnings }

// rest warns about the text behind a number.
func (r *RDV) rest(what, s string, v int, rest string) {
	if i := skipSpace(rest); i < len(rest) {
		r.warnings = append(r.warnings,
			fmt.Sprintf("%s %s is taken as %d; %s is ignored", what, quote(s), v, quote(rest[i:])))
	}
}
