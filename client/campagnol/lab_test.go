package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"campagnol/internal/lab"
	"campagnol/internal/testenv"
	"campagnol/pki"
)

// runLab runs the command with stand-ins for what it does.
func runLab(t *testing.T, demo func(context.Context, lab.DemoOptions) error, swept lab.Swept, sweepErr error, args ...string) (output string, err error) {
	t.Helper()
	var b bytes.Buffer
	cmd := labCommand(demo, func(kept bool) (lab.Swept, error) {
		if !kept {
			t.Error("--clean does not remove the labs that were kept")
		}
		return swept, sweepErr
	}, func(context.Context, lab.GridOptions) ([]lab.GridResult, error) {
		t.Error("the grid is tried")
		return nil, nil
	})
	cmd.SetOut(&b)
	cmd.SetErr(&b)
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(t.Context())
	return b.String(), err
}

func TestLabFlags(t *testing.T) {
	type flags struct {
		nats    [2]lab.Kind
		peers   int
		size    int64
		timeout time.Duration
		keep    bool
		mode    string
		carries string
		below   string
		relay   bool
	}
	both := [2]lab.Kind{lab.PortRestricted, lab.PortRestricted}
	for _, c := range []struct {
		args string
		want flags
		err  string
	}{
		{"", flags{both, 2, 100_000_000, 3 * time.Minute, false, "open", "tun", "ipv4", false}, ""},
		{"--nat-a symmetric --nat-b none --peers 5 --size 2G --timeout 10m --keep --rdv-mode strict",
			flags{[2]lab.Kind{lab.Symmetric, lab.None}, 5, 2_000_000_000, 10 * time.Minute, true, "strict", "tun", "ipv4", false}, ""},
		{"--nat-a=full-cone --size=1500000", flags{[2]lab.Kind{lab.FullCone, lab.PortRestricted}, 2, 1_500_000, 3 * time.Minute, false, "open", "tun", "ipv4", false}, ""},
		{"--mode tap", flags{both, 0, 100_000_000, 3 * time.Minute, false, "", "tap", "ipv4", false}, ""},
		{"--mode tap --peers 4 --rdv-mode mixed", flags{both, 4, 100_000_000, 3 * time.Minute, false, "mixed", "tap", "ipv4", false}, ""},
		{"--underlay ipv6", flags{both, 2, 100_000_000, 3 * time.Minute, false, "", "tun", "ipv6", false}, ""},
		{"--underlay ipv6 --rdv-mode mixed", flags{both, 2, 100_000_000, 3 * time.Minute, false, "mixed", "tun", "ipv6", false}, ""},
		{"--underlay dual", flags{both, 2, 100_000_000, 3 * time.Minute, false, "open", "tun", "dual", false}, ""},
		{"--relay", flags{both, 2, 100_000_000, 3 * time.Minute, false, "", "tun", "ipv4", true}, ""},
		{"--relay --rdv-mode mixed", flags{both, 2, 100_000_000, 3 * time.Minute, false, "mixed", "tun", "ipv4", true}, ""},
		{"--nat-b cone", flags{}, `"cone" is not a kind of NAT: use none, full-cone, restricted, port-restricted, symmetric, sequential`},
		{"--size many", flags{}, "a size is a number of bytes"},
		{"--peers x", flags{}, "invalid argument"},
		{"argument", flags{}, "unknown command"},
	} {
		var got flags
		_, err := runLab(t, func(_ context.Context, o lab.DemoOptions) error {
			got = flags{o.NATs, o.Peers, o.Size, o.Timeout, o.Keep, o.RDVMode, o.Mode, o.Underlay, o.Relay}
			exe, err := os.Executable()
			if err != nil || o.Client != exe || o.Certify == nil || o.Report == nil {
				t.Errorf("%q: the client is %q (%v), want %q, and there have to be functions", c.args, o.Client, err, exe)
			}
			return nil
		}, lab.Swept{}, nil, strings.Fields(c.args)...)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: error %v, want one with %q", c.args, err, c.err)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%q: %+v, %v, want %+v", c.args, got, err, c.want)
		}
	}
}

func TestLabReports(t *testing.T) {
	demo := func(_ context.Context, o lab.DemoOptions) error {
		o.Report(lab.Step{Name: "network", Time: 1.5, OK: true, Text: "made"})
		return errors.New("broken")
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "   1.500s  network       made\n"},
		{[]string{"--json"}, `{"step":"network","time":1.5,"ok":true,"text":"made"}` + "\n"},
	} {
		got, err := runLab(t, demo, lab.Swept{}, nil, c.args...)
		if err == nil || err.Error() != "broken" {
			t.Errorf("%q: error %v, want broken", c.args, err)
		}
		if got != c.want {
			t.Errorf("%q: output %q, want %q and no usage", c.args, got, c.want)
		}
	}
}

func TestLabClean(t *testing.T) {
	never := func(context.Context, lab.DemoOptions) error {
		t.Error("--clean plays the demonstration")
		return nil
	}
	broken := errors.New("broken")
	for _, c := range []struct {
		swept lab.Swept
		err   error
		want  string
	}{
		{lab.Swept{}, nil, "there was nothing to remove\n"},
		{lab.Swept{Removed: []string{"abcde", "fghij"}, Running: []string{"klmno"}}, nil,
			"removed lab abcde\nremoved lab fghij\nleft lab klmno alone: its program runs\n"},
		{lab.Swept{Removed: []string{"abcde"}}, broken, "removed lab abcde\n"},
		{lab.Swept{}, broken, ""},
	} {
		got, err := runLab(t, never, c.swept, c.err, "--clean")
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%+v: output %q, error %v, want %q, %v", c.swept, got, err, c.want, c.err)
		}
	}
}

func TestLabGrid(t *testing.T) {
	broken := errors.New("broken")
	run := func(args ...string) (out, progress string, o lab.GridOptions, err error) {
		var b, e bytes.Buffer
		cmd := labCommand(nil, nil, func(_ context.Context, got lab.GridOptions) ([]lab.GridResult, error) {
			o = got
			r := lab.GridResult{GridCell: lab.Grid()[0], Reply: time.Millisecond, Recovery: lab.Lost}
			got.Report(r)
			return []lab.GridResult{r}, broken
		})
		cmd.SetOut(&b)
		cmd.SetErr(&e)
		cmd.SetArgs(append([]string{"--grid"}, args...))
		err = cmd.ExecuteContext(t.Context())
		return b.String(), e.String(), o, err
	}
	out, progress, o, err := run("--parallel", "3")
	if !errors.Is(err, broken) || o.Parallel != 3 || o.Client == "" || o.Certify == nil || progress != "none to none: done\n" ||
		!strings.Contains(out, "| none to none | direct | direct  | 1.0 ms      | -") {
		t.Errorf("%v, %+v\n%s%s", err, o, progress, out)
	}
	if out, progress, _, _ := run("--json"); !strings.HasPrefix(out, `{"cell":"none to none",`) || strings.Count(out, "\n") != 1 || progress != "" {
		t.Errorf("as JSON: %s%s", out, progress)
	}
	if _, _, _, err := run("--parallel", "0"); err == nil || errors.Is(err, broken) {
		t.Errorf("no pair at a time: %v", err)
	}
}

// TestLabSignals sends this process the signals that end a demonstration.
func TestLabSignals(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		_, err := runLab(t, func(ctx context.Context, _ lab.DemoOptions) error {
			self, err := os.FindProcess(os.Getpid())
			if err == nil {
				err = self.Signal(s)
			}
			if err != nil {
				t.Fatal(err)
			}
			<-ctx.Done()
			return lab.ErrInterrupted
		}, lab.Swept{}, nil)
		if !errors.Is(err, lab.ErrInterrupted) {
			t.Errorf("after %v: error %v, want %v", s, err, lab.ErrInterrupted)
		}
	}
}

func TestLabHelp(t *testing.T) {
	got, err := runLab(t, nil, lab.Swept{}, nil, "--help")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"nat-a", "(default port-restricted)", "(default 100M)", "--clean", "run as root"} {
		if !strings.Contains(got, want) {
			t.Errorf("the help lacks %q:\n%s", want, got)
		}
	}
	cmd := newLabCommand()
	if cmd.Name() != "lab" || cmd.Short == "" {
		t.Errorf("the command is %q: %q", cmd.Name(), cmd.Short)
	}
}

// TestLabCertify checks that the certificates are what the client needs: each
// fits its key, is signed by the CA, and binds its VPN address.
func TestLabCertify(t *testing.T) {
	hosts := []lab.Identity{
		{Name: "peer1", Addr: netip.MustParseAddr("10.9.0.1")},
		{Name: "peer2", Addr: netip.MustParseAddr("10.9.0.2")},
		{Name: "rdv", RDV: true},
	}
	dir := filepath.Join(t.TempDir(), "ca")
	creds, err := certifyPeers(dir, hosts)
	if err != nil || len(creds) != len(hosts) {
		t.Fatalf("%d certificates, %v, want %d", len(creds), err, len(hosts))
	}
	for i, c := range creds {
		pair, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
		if err != nil {
			t.Fatal(err)
		}
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			t.Fatalf("%s has no certificate", c.CA)
		}
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
			t.Errorf("%s: %v", hosts[i].Name, err)
		}
		var bound []string
		for _, ip := range pair.Leaf.IPAddresses {
			bound = append(bound, ip.String())
		}
		if pki.IsRendezvous(pair.Leaf) != hosts[i].RDV {
			t.Errorf("%s: the certificate is one for a rendezvous server: %v, want %v", hosts[i].Name, !hosts[i].RDV, hosts[i].RDV)
		}
		if hosts[i].RDV && len(bound) == 0 {
			continue
		}
		if !slices.Equal(bound, []string{hosts[i].Addr.String()}) {
			t.Errorf("%s: the certificate binds %v, want %v", hosts[i].Name, bound, hosts[i].Addr)
		}
	}
	if _, err := certifyPeers(dir, hosts); err == nil {
		t.Error("a second CA in the same folder is accepted")
	}
	if _, err := certifyPeers(filepath.Join(t.TempDir(), "ca"), []lab.Identity{{Name: "no such/name", Addr: hosts[0].Addr}}); err == nil {
		t.Error("a host with a slash in its name is accepted")
	}
}

func TestLabSize(t *testing.T) {
	for _, c := range []struct {
		text string
		want labSize
		out  string // what String writes; empty: the text
	}{
		{"0", 0, ""},
		{"1", 1, ""},
		{"1500", 1500, ""},
		{"2k", 2000, ""},
		{"2K", 2000, "2k"},
		{"2kB", 2000, "2k"},
		{"250000000", 250_000_000, "250M"},
		{"250MB", 250_000_000, "250M"},
		{"3G", 3_000_000_000, ""},
		{"1000G", 1e12, ""},
		{"12B", 12, "12"},
	} {
		var s labSize
		if err := s.Set(c.text); err != nil || s != c.want {
			t.Errorf("Set(%q) gave %d, %v, want %d", c.text, s, err, c.want)
		}
		want := c.out
		if want == "" {
			want = c.text
		}
		if got := s.String(); got != want {
			t.Errorf("String of %d = %q, want %q", s, got, want)
		}
	}
	for _, text := range []string{"", "B", "M", "x", "-1", "1001G", "1.5M", "1T", "9223372036854775807G", " 1"} {
		s := labSize(7)
		if err := s.Set(text); err == nil || s != 7 {
			t.Errorf("Set(%q) gave %d, %v, want an error and no change", text, s, err)
		}
	}
	var s labSize
	if got := s.Type(); got != "bytes" {
		t.Errorf("Type = %q, want bytes", got)
	}
}

func FuzzLabSize(f *testing.F) {
	for _, text := range []string{"1", "250M", "1000G", "-1", "", "kB"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s, again labSize
		if s.Set(text) != nil {
			return
		}
		if s < 0 || s > maxLabSize {
			t.Fatalf("Set(%q) gave %d", text, s)
		}
		if err := again.Set(s.String()); err != nil || again != s {
			t.Errorf("%d is written as %q, which is read as %d (%v)", s, s.String(), again, err)
		}
	})
}

// TestLabForReal plays the demonstration with the real programs on the real
// kernel: an Ethernet, two pairs with a direct path, of which one is hard, and one without.
func TestLabForReal(t *testing.T) {
	testenv.Root(t)
	if err := lab.Preflight(); err != nil {
		testenv.Require(t, false, "what a lab needs: "+err.Error())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel) // after the parallel subtests
	// Both programs into one folder: the client looks for the server beside it.
	dir := t.TempDir()
	for _, pkg := range []string{lab.ClientPackage, lab.ServerPackage} {
		if _, err := lab.Build(ctx, filepath.Join("..", ".."), pkg, dir); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		natA, natB string
		mode       string
		carries    string
		steps      string // without repetitions
	}{
		{"port-restricted", "full-cone", "strict", "tap", "network nat certificates rdv register mesh arp ping stream join tables leave removed"},
		{"port-restricted", "port-restricted", "open", "tun", "network nat certificates rdv register connect ping broadcast transfer direct idle removed"},
		{"restricted", "symmetric", "strict", "tun", "network nat certificates rdv register connect ping broadcast transfer direct idle removed"},
		{"symmetric", "port-restricted", "strict", "tun", "network nat certificates rdv register connect ping broadcast transfer direct idle removed"},
		{"symmetric", "symmetric", "mixed", "tun", "network nat certificates rdv register no-path skipped removed"},
	} {
		t.Run(c.natA+" and "+c.natB+", "+c.carries, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(ctx, filepath.Join(dir, "campagnol"),
				"lab", "--json", "--size=2M", "--nat-a", c.natA, "--nat-b", c.natB, "--rdv-mode", c.mode, "--mode", c.carries)
			var out, errs bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errs
			if err := cmd.Run(); err != nil || errs.Len() > 0 {
				t.Fatalf("the demonstration ended with %v\n%s%s", err, out.String(), errs.String())
			}
			var names []string
			for line := range bytes.Lines(out.Bytes()) {
				var s lab.Step
				if err := json.Unmarshal(line, &s); err != nil || !s.OK {
					t.Errorf("step %s (%v), want one that is OK", line, err)
				}
				if !slices.Contains(names, s.Name) {
					names = append(names, s.Name)
				}
			}
			if got := strings.Join(names, " "); got != c.steps {
				t.Errorf("the steps were %s, want %s", got, c.steps)
			}
		})
	}
}
