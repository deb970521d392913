package scenario

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/internal/lab/frame"
)

// A model is a fabric without a kernel, which knows reports of version 2 only.
// Its members are gone LastMember after a leave, and membership after a report.
type model struct {
	out        [4][][]byte
	membership time.Duration
	until      [4]map[netip.Addr]time.Time

	// What is wrong with it.
	copies   int  // of each frame; 0 is 1
	floods   bool // groups that nobody wants
	deaf     bool // to reports
	reflects bool // what goes into a port also comes back
	mute     int  // a port that nothing comes out of
	broken   error
	believes bool // everybody wants everything
}

func (m *model) Ports() int { return len(m.out) }

func (m *model) Send(port int, b []byte) error {
	if m.broken != nil {
		return m.broken
	}
	f, err := frame.Parse(b)
	if err != nil {
		return err
	}
	switch {
	case f.Message.Kind == frame.Report && !m.deaf:
		m.set(port, f.Message.Group, time.Now().Add(m.membership))
	case f.Message.Kind == frame.Leave && m.member(port, f.Message.Group):
		m.set(port, f.Message.Group, time.Now().Add(LastMember))
	case f.Message.Kind == frame.NoMessage:
		for p := range m.out {
			switch {
			case p == port && !m.reflects, p == m.mute && p != 0:
			case m.floods, f.Dst == frame.Broadcast, m.member(p, f.DstIP), p == port:
				for range max(m.copies, 1) {
					m.out[p] = append(m.out[p], bytes.Clone(b))
				}
			}
		}
	}
	return nil
}

func (m *model) set(port int, group netip.Addr, until time.Time) {
	if m.until[port] == nil {
		m.until[port] = map[netip.Addr]time.Time{}
	}
	m.until[port][group] = until
}

func (m *model) member(port int, group netip.Addr) bool {
	return time.Now().Before(m.until[port][group])
}

func (m *model) Capture(port, from int) [][]byte { return m.out[port][from:] }

func (m *model) Await(ctx context.Context, port, n int) error {
	if len(m.out[port]) > n {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

// An inspected model is also asked.
type inspected struct{ *model }

func (m inspected) State(port int, group netip.Addr) (State, error) {
	if m.believes || m.member(port, group) {
		return State{Mode: Exclude}, nil
	}
	return State{}, nil
}

// versionTwo returns the scenarios that the model knows.
func versionTwo() []Scenario {
	var all []Scenario
	for _, s := range All() {
		if strings.Contains(s.Name, "version 2") {
			all = append(all, s)
		}
	}
	return all
}

// play runs a scenario on a model in virtual time.
func play(t *testing.T, m *model, s Scenario) (took time.Duration, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m.membership = time.Minute
		if s.Quick {
			m.membership = QuickMembership
		}
		start := time.Now()
		err = Run(t.Context(), inspected{m}, s, Options{Tags: []frame.Tag{{VID: 3}}, Log: t.Logf})
		took = time.Since(start)
	})
	return took, err
}

func TestRun(t *testing.T) {
	t.Parallel()
	scenarios := versionTwo()
	if len(scenarios) != 6 {
		t.Fatalf("there are %d scenarios of version 2, want 6", len(scenarios))
	}
	for _, s := range scenarios {
		if took, err := play(t, &model{}, s); err != nil || took > 10*time.Second {
			t.Errorf("%s: error %v after %v, want none within 10s", s.Name, err, took)
		}
	}
}

// TestRunFindsMistakes has models that are wrong in one way each.
func TestRunFindsMistakes(t *testing.T) {
	t.Parallel()
	s := versionTwo()[0]
	for _, c := range []struct {
		name  string
		model *model
		want  string
		took  time.Duration // patience is spent where something may still change
	}{
		{"floods", &model{floods: true}, "nobody: a frame from 192.0.2.1 comes out of port 1 1 times, want 0", 5 * time.Second},
		{"deaf", &model{deaf: true}, "report: a frame from 192.0.2.1 comes out of port 1 0 times, want 1", 5 * time.Second},
		{"copies", &model{copies: 2}, "report: a frame from 192.0.2.1 comes out of port 1 2 times, want 1", 5 * time.Second},
		{"reflects", &model{reflects: true}, "comes back out of the port that it went into", 0},
		{"mute", &model{mute: 2}, "a broadcast does not come out of port 2", 20 * time.Second},
		{"broken", &model{broken: errors.New("no cable")}, "send into port 0: no cable", 0},
		{"believes", &model{believes: true}, "port 3 believes EXCLUDE(; ), want nothing", 5 * time.Second},
	} {
		took, err := play(t, c.model, s)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), s.Name) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
		if took < c.took || took > c.took+time.Second {
			t.Errorf("%s: found out after %v, want about %v", c.name, took, c.took)
		}
	}
}

// TestRunEnds checks that a scenario ends with its context.
func TestRunEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := Run(ctx, &model{floods: true}, versionTwo()[0], Options{})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 1100*time.Millisecond {
			t.Errorf("error %v after %v, want %v after 1s", err, time.Since(start), context.DeadlineExceeded)
		}
	})
}

func TestState(t *testing.T) {
	t.Parallel()
	a, b, c := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3")
	for _, x := range []struct {
		state  State
		text   string
		passes [3]bool
	}{
		{State{}, "nothing", [3]bool{}},
		{State{Mode: Include, Wanted: []netip.Addr{b, a}}, "INCLUDE(10.0.0.1 10.0.0.2)", [3]bool{true, true, false}},
		{State{Mode: Exclude, Wanted: []netip.Addr{a}, Refused: []netip.Addr{b}}, "EXCLUDE(10.0.0.1; 10.0.0.2)", [3]bool{true, false, true}},
	} {
		if got := x.state.String(); got != x.text {
			t.Errorf("got %s, want %s", got, x.text)
		}
		for i, source := range []netip.Addr{a, b, c} {
			if got := x.state.Passes(source); got != x.passes[i] {
				t.Errorf("%v passes %v: %v, want %v", x.state, source, got, x.passes[i])
			}
		}
	}
}

// TestAll checks that the scenarios are what the runner takes them for.
func TestAll(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	records := map[string]int{}
	for _, s := range append(All(), Silence()...) {
		if names[s.Name] {
			t.Errorf("there are two scenarios %q", s.Name)
		}
		names[s.Name] = true
		for _, source := range s.Sources {
			if source == s.Stranger() || source.Is6() != s.Group.Is6() {
				t.Errorf("%s: source %v is the stranger, or of another family", s.Name, source)
			}
		}
		for _, step := range s.Steps {
			for port := range step.Want {
				if port < 1 || port > 3 {
					t.Errorf("%s: %s: port %d is the sender's, or not there", s.Name, step.Name, port)
				}
			}
			if step.Report.Kind == frame.NoMessage {
				continue
			}
			h := frame.Header{SrcIP: hostAddr(step.Port, step.Host, s.Group.Is6())}
			f, err := frame.Parse(frame.Membership(h, step.Report))
			if err != nil || f.Message.Kind != step.Report.Kind {
				t.Errorf("%s: %s: the report is read as %v (%v)", s.Name, step.Name, f, err)
			}
			for _, r := range step.Report.Records {
				records[s.Group.String()+" "+r.Type.String()]++
			}
		}
	}
	for _, f := range families {
		for _, r := range []frame.RecordType{frame.IsIn, frame.IsEx, frame.ToIn, frame.ToEx, frame.Allow, frame.Block} {
			if records[f.group.String()+" "+r.String()] < 2 {
				t.Errorf("%s: there are fewer than two records %v", f.name, r)
			}
		}
	}
}

func TestOn(t *testing.T) {
	t.Parallel()
	all := All()
	for i, s := range all {
		group := netip.AddrFrom4([4]byte{239, 9, 9, byte(i)})
		if s.Group.Is6() {
			group = netip.MustParseAddr("ff15::9:9")
		}
		moved := s.On(group)
		if moved.Group != group || len(moved.Steps) != len(s.Steps) {
			t.Errorf("%s: moved to %v with %d steps, want %v with %d", s.Name, moved.Group, len(moved.Steps), group, len(s.Steps))
		}
		for j, step := range moved.Steps {
			was := s.Steps[j]
			if was.Report.Group.IsValid() && step.Report.Group != group {
				t.Errorf("%s: %s: the report is about %v, want %v", s.Name, step.Name, step.Report.Group, group)
			}
			for k, r := range step.Report.Records {
				if before := was.Report.Records[k]; r.Group != group || before.Group != s.Group || r.Type != before.Type {
					t.Errorf("%s: %s: the record %+v became %+v", s.Name, step.Name, before, r)
				}
			}
		}
	}
	s := versionTwo()[0].On(netip.MustParseAddr("239.7.7.7"))
	if _, err := play(t, &model{}, s); err != nil {
		t.Error(err)
	}
}
