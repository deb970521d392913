package main

import (
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/internal/control"
	"campagnol/internal/lab"
)

// explain runs the command on a peer's host, and returns what it writes and its status.
func (p *meshPeer) explain(args ...string) (stdout, stderr string, status int) {
	p.m.t.Helper()
	var out, errOut strings.Builder
	err := p.Do(func() error {
		cmd := exec.CommandContext(p.m.t.Context(), filepath.Join(binaries, "campagnol"), append([]string{"explain"}, args...)...)
		cmd.Stdout, cmd.Stderr = &out, &errOut
		return cmd.Run()
	})
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		status = exit.ExitCode()
	case err != nil:
		p.m.t.Fatal(err)
	}
	p.m.t.Logf("explain %v: status %d\n%s%s", args, status, &errOut, &out)
	return out.String(), errOut.String(), status
}

// TestExplainForReal: a peer that is reached, by address and by name; one that nobody
// knows; and one with whom the policy lets nobody talk.
func TestExplainForReal(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.PortRestricted, lab.PortRestricted)
	m.restartServer(m.modeOf("strict")...)
	a, b := m.peers[0], m.peers[1]
	socket := a.withSocket()
	a.obey("allow all <-> all\n")
	a.start()
	b.start()
	for _, p := range m.peers {
		m.await(p.process, "The way to the Internet was examined")
	}
	out, _, status := a.explain("10.9.0.2", "--socket", socket)
	if status != notReached || !strings.HasPrefix(out, "There is no tunnel to 10.9.0.2. Nothing is known of it") || !strings.Contains(out, "\n- ask for it now: campagnol explain --try 10.9.0.2\n") {
		t.Error("before there is a tunnel")
	}
	out, progress, status := a.explain("10.9.0.2", "--try", "--socket", socket)
	if status != 0 || !strings.HasPrefix(out, `10.9.0.2 ("peer2") is reached directly at `) || !strings.Contains(progress, "the tunnel is open\n") {
		t.Error("with --try")
	}
	if out, _, status = a.explain("PEER2", "--json", "--socket", socket); status != 0 {
		t.Error("by name")
	}
	e := new(control.Explanation)
	if err := json.Unmarshal([]byte(out), e); err != nil {
		t.Fatal(err)
	}
	if !e.Reached || e.Name != "peer2" || e.Path.Kind != "wan" || e.Prospect != "direct" || !e.Certificate.Good || e.PeerNAT.Description == "" ||
		e.RDVs[0].Said != introducedUs || len(e.Candidates) == 0 || !e.Candidates[0].Path {
		t.Errorf("got %+v", e)
	}
	out, _, status = a.explain("--try", "10.9.0.77", "--socket", socket)
	if status != notReached || !strings.Contains(out, "the RDV server does not know the peer.") || !strings.Contains(out, "\n- the peer is not registered: is its daemon running?") {
		t.Error("of a peer that nobody knows")
	}
	if _, errOut, status := a.explain("nobody", "--socket", socket); status != 1 || !strings.Contains(errOut, `no peer is known by the name "nobody"`) {
		t.Error("of a name that nobody has")
	}
	a.obey("deny 10.9.0.1 <-> 10.9.0.2\nallow all <-> all\n")
	eventually(t, "the policy does not close the tunnel", func() bool {
		out, _, status = a.explain("10.9.0.2", "--socket", socket)
		return status == notReached
	})
	if !strings.Contains(out, "does not allow it (line 1: deny 10.9.0.1 <-> 10.9.0.2)") || !strings.Contains(out, "\nWhat to try:\n- the policy ") {
		t.Error("against the policy")
	}
	if _, errOut, status := a.explain("10.9.0.2", "--socket", socket+".not"); status != 1 || !strings.Contains(errOut, "no client runs") {
		t.Error("without a client")
	}
}

// TestExplainHardNATs: between two hard NATs there is no path, and it is said why, and
// what to do.
func TestExplainHardNATs(t *testing.T) {
	t.Parallel()
	m := newMesh(t, lab.Symmetric, lab.Symmetric)
	m.restartServer(m.modeOf("strict")...)
	a := m.peers[0]
	socket := a.withSocket()
	a.configure("[NETWORK]\nlocal_port = 4501\n")
	for _, p := range m.peers {
		p.start()
	}
	for _, p := range m.peers {
		m.await(p.process, "The way to the Internet was examined")
	}
	began := time.Now()
	out, progress, status := a.explain("10.9.0.2", "--try", "--socket", socket)
	for _, want := range []string{"There is no tunnel to 10.9.0.2. The last try was in vain, ", ": no path.", "there is no direct path",
		"did not answer", "\nWhat to try:\n- open UDP port 4501 to this host", "\n- give both hosts IPv6", "\n- without any of these only a relay could carry this, and there is none (203.0.113.10:57888: it is no relay; campagnol_rdv --relay makes it one)\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not said", want)
		}
	}
	if status != notReached || !strings.Contains(progress, "looking for a path to the peer\n") {
		t.Errorf("status %d after %v", status, time.Since(began))
	}
	if s := statusAt(t, socket); !s.NAT.Hard || !strings.Contains(statusText(s, nil, 0), "\nthis host is behind a symmetric NAT (") {
		t.Errorf("the status has %+v", s.NAT)
	}
}
