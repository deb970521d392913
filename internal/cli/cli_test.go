package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// A program records what it was run with.
type program struct {
	root        *cobra.Command
	out, errOut bytes.Buffer

	ran     string // the command, or ""
	args    []string
	dash    int
	verbose bool
	daemon  bool
	debug   int
	pidfile string
	number  int
	err     error // to return
}

// newProgram has the original client's options, one more, and subcommands.
func newProgram() *program {
	p := &program{}
	run := func(cmd *cobra.Command, args []string) error {
		p.ran, p.args, p.dash = cmd.CommandPath(), args, cmd.ArgsLenAtDash()
		return p.err
	}
	p.root = &cobra.Command{Use: "campagnol [-dDhmvV] [-p FILE] [CONFIG]", Long: "Campagnol is a VPN.", Version: "1.0", Args: MaxArgs(1), RunE: run}
	f := p.root.PersistentFlags()
	f.CountVarP(&p.debug, "debug", "d", "debug")
	f.BoolVarP(&p.verbose, "verbose", "v", false, "talk")
	f = p.root.Flags()
	f.BoolVarP(&p.daemon, "daemon", "D", false, "background")
	f.BoolP("mlock", "m", false, "lock memory")
	f.StringVarP(&p.pidfile, "pidfile", "p", "", "pid file")
	f.IntVar(&p.number, "metrics", 0, "not in the original")
	f.String("verbatim", "", "not in the original")
	f.String("verbena", "", "not in the original")
	f.Bool("secret", false, "hidden")
	MarkNew(f, "metrics", "verbatim", "verbena")
	f.Lookup("secret").Hidden = true

	status := &cobra.Command{Use: "status", Aliases: []string{"st"}, Short: "Show the status.", RunE: run}
	status.Flags().Bool("json", false, "as JSON")
	lab := &cobra.Command{Use: "lab", Short: "Experiment."}
	exec := &cobra.Command{Use: "exec CMD", Args: cobra.ArbitraryArgs, RunE: run}
	raw := &cobra.Command{Use: "raw", DisableFlagParsing: true, RunE: run}
	lab.AddCommand(exec, raw)
	p.root.AddCommand(status, lab)
	p.root.SetOut(&p.out)
	p.root.SetErr(&p.errOut)
	return p
}

func (p *program) execute(args ...string) int { return Execute(context.Background(), p.root, args) }

// TestHabits has what getopt_long makes of command lines.
func TestHabits(t *testing.T) {
	for _, c := range []struct {
		name string
		args string // separated by blanks; ” stands for an empty one
		ran  string
		want string // options and arguments as render gives them
	}{
		{"nothing", "", "campagnol", ""},
		{"file", "x.conf", "campagnol", "[x.conf]"},
		{"cluster", "-vdD", "campagnol", "v d1 D"},
		{"repeated", "-d -d --debug", "campagnol", "d3"},
		{"repeated in a cluster", "-vdd", "campagnol", "v d2"},
		{"value follows", "-p /run/x", "campagnol", "p=/run/x"},
		{"value attached", "-p/run/x", "campagnol", "p=/run/x"},
		{"value attached to a cluster", "-vDp/run/x", "campagnol", "v D p=/run/x"},
		{"value after a cluster", "-vDp /run/x y", "campagnol", "v D p=/run/x [y]"},
		{"value with an equals sign", "-p=x", "campagnol", "p==x"},
		{"value like an option", "-p -v", "campagnol", "p=-v"},
		{"value like the end of options", "-p -- -v", "campagnol", "v p=--"},
		{"empty value", "-p ”", "campagnol", "p="},
		{"long", "--verbose --daemon", "campagnol", "v D"},
		{"long with value", "--pidfile=/run/x", "campagnol", "p=/run/x"},
		{"long, value follows", "--pidfile /run/x", "campagnol", "p=/run/x"},
		{"long, value like an option", "--pidfile --daemon", "campagnol", "p=--daemon"},
		{"long, empty value", "--pidfile= x", "campagnol", "p= [x]"},
		{"long, value with equals signs", "--pidfile=a=b", "campagnol", "p=a=b"},
		{"last one counts", "--pidfile=a -pb", "campagnol", "p=b"},
		{"abbreviation", "--verbo", "campagnol", "v"},
		{"abbreviation of an old option, new ones have it too", "--verb", "campagnol", "v"},
		{"abbreviation with value", "--pid=/run/x", "campagnol", "p=/run/x"},
		{"abbreviation, value follows", "--p /run/x", "campagnol", "p=/run/x"},
		{"abbreviation of a new option", "--me=5", "campagnol", "n5"},
		{"old and new", "--m", "campagnol", ""}, // mlock
		{"permutation", "x.conf -v", "campagnol", "v [x.conf]"},
		{"permutation, value", "-v x.conf -p y -D", "campagnol", "v D p=y [x.conf]"},
		{"end of options", "-v -- -d", "campagnol", "v [-d]"},
		{"end of options, file before", "x -- ", "campagnol", "[x]"},
		{"dash alone", "-", "campagnol", "[-]"},
		{"explicit bool", "--verbose=true --daemon=false", "campagnol", "v"},

		{"subcommand", "status", "campagnol status", ""},
		{"alias", "st", "campagnol status", ""},
		{"options around a subcommand", "-v status -d", "campagnol status", "v d1"},
		{"abbreviation in a subcommand", "status --js --verb", "campagnol status", "v"},
		{"value that is the name of a subcommand", "-p status x", "campagnol", "p=status [x]"},
		{"file with a slash", "./status", "campagnol", "[./status]"},
		{"file after the end of options", "-- status", "campagnol", "[status]"},
		{"empty file name", "”", "campagnol", "[]"},
		{"beginning of a subcommand's name", "stat", "campagnol", "[stat]"},
		{"nested", "lab exec a b", "campagnol lab exec", "[a b]"},
		{"nested, end of options", "lab exec a -- status -v", "campagnol lab exec", "[a status -v] dash1"},
		{"nested, end of options first", "lab exec -v -- -v", "campagnol lab exec", "v [-v] dash0"},
		{"own parsing", "lab raw -x --y=z status -- a", "campagnol lab raw", "[-x --y=z status -- a]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newProgram()
			var args []string
			for _, a := range strings.Fields(c.args) {
				args = append(args, strings.ReplaceAll(a, "”", ""))
			}
			if code := p.execute(args...); code != 0 {
				t.Fatalf("exit status %d: %s", code, &p.errOut)
			}
			if got := p.render(); p.ran != c.ran || got != c.want {
				t.Errorf("%q ran %q with %q, want %q with %q", args, p.ran, got, c.ran, c.want)
			}
		})
	}
}

// render returns the options that are set and the arguments.
func (p *program) render() string {
	var s []string
	add := func(cond bool, format string, args ...any) {
		if cond {
			s = append(s, fmt.Sprintf(format, args...))
		}
	}
	add(p.verbose, "v")
	add(p.debug > 0, "d%d", p.debug)
	add(p.daemon, "D")
	add(p.root.Flags().Changed("pidfile"), "p=%s", p.pidfile)
	add(p.number > 0, "n%d", p.number)
	add(len(p.args) > 0, "%v", p.args)
	add(p.ran == "campagnol lab exec" && p.dash >= 0, "dash%d", p.dash)
	return strings.Join(s, " ")
}

// TestUsageErrors has the lines that are refused, and what is said about them.
func TestUsageErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want string // the first line, without the program's name
	}{
		{"short", []string{"-x"}, "there is no option -x"},
		{"short in a cluster", []string{"-vx"}, "there is no option -x"},
		{"not ASCII", []string{"-é"}, "there is no option -é"},
		{"not UTF-8", []string{"-\xff"}, "there is no option -�"},
		{"long", []string{"--nonsense"}, "there is no option --nonsense"},
		{"long, hidden ones are not abbreviated", []string{"--secr"}, "there is no option --secr"},
		{"long, longer than an option", []string{"--verbosely"}, "there is no option --verbosely"},
		{"ambiguous", []string{"--ver"}, "option --ver is ambiguous: it could be --verbatim or --verbena or --verbose or --version"},
		{"ambiguous new ones", []string{"--verbe=1", "--verb", "--verba=1", "--v"}, "option --v is ambiguous: it could be --verbatim or --verbena or --verbose or --version"},
		{"all", []string{"--=x"}, "option -- is ambiguous: it could be --daemon or"},
		{"no value, short", []string{"-p"}, "option -p needs a value"},
		{"no value, cluster", []string{"-vp"}, "option -p needs a value"},
		{"no value, long", []string{"--pid"}, "option --pidfile needs a value"},
		{"value for none", []string{"--verbose=x"}, "option --verbose takes no value"},
		{"value for a counter", []string{"--debug=2"}, "option --debug takes no value (it can be repeated)"},
		{"not a number", []string{"--metrics=x"}, `option --metrics: "x" is not a number in its range`},
		{"number out of range", []string{"--metrics=99999999999999999999"}, `option --metrics: "99999999999999999999" is not a number in its range`},
		{"two files", []string{"a", "b"}, `there is no use for the argument "b"`},
		{"argument for a subcommand", []string{"status", "x"}, `there is no use for the argument "x"`},
		{"option of the program before a subcommand", []string{"-D", "status"}, `option -D cannot be used with "campagnol status"`},
		{"new option of the program before a subcommand", []string{"--metrics=1", "status"}, `option --metrics cannot be used with "campagnol status"`},
		{"option of the program after a subcommand", []string{"status", "-D"}, "there is no option -D"},
		{"option of a subcommand before it", []string{"--json", "status"}, "there is no option --json"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newProgram()
			code := p.execute(c.args...)
			first, rest, _ := strings.Cut(p.errOut.String(), "\n")
			if code != 1 || p.ran != "" || !strings.HasPrefix(first, "campagnol: "+c.want) {
				t.Errorf("%q: exit status %d, ran %q, error %q, want 1 and %q", c.args, code, p.ran, first, c.want)
			}
			if want := `hint: "campagnol -h" lists the options` + "\n"; rest != want {
				t.Errorf("below the error stands %q, want %q", rest, want)
			}
			if p.out.Len() > 0 {
				t.Errorf("standard output has %q", &p.out)
			}
		})
	}
}

// TestHelpAndVersion checks streams and exit statuses, and that both are obeyed
// as soon as they are read.
func TestHelpAndVersion(t *testing.T) {
	const helpStart, version = "Campagnol is a VPN.\n\nUsage:\n  campagnol [-dDhmvV] [-p FILE] [CONFIG]\n", "campagnol 1.0\n"
	for _, c := range []struct {
		args   []string
		code   int
		out    string // beginning
		errOut string // beginning
	}{
		{[]string{"-h"}, 1, "", helpStart},
		{[]string{"--help"}, 1, "", helpStart},
		{[]string{"--h"}, 1, "", helpStart},
		{[]string{"-vh"}, 1, "", helpStart},
		{[]string{"file", "-h", "--nonsense"}, 1, "", helpStart},
		{[]string{"-V"}, 0, "", version},
		{[]string{"--version"}, 0, "", version},
		{[]string{"--vers"}, 0, "", version},
		{[]string{"-dVx"}, 0, "", version},
		{[]string{"-Vh"}, 0, "", version},
		{[]string{"-hV"}, 1, "", helpStart},
		{[]string{"--nonsense", "-h"}, 1, "", "campagnol: there is no option --nonsense\n"},
		{[]string{"status", "-h"}, 0, "Show the status.", ""},
		{[]string{"-v", "status", "--help"}, 0, "Show the status.", ""},
		{[]string{"help", "status"}, 0, "Show the status.", ""},
		{[]string{"lab"}, 0, "Experiment.", ""},
		{[]string{"lab", "nonsense"}, 1, "", "campagnol: \"campagnol lab\" has no command \"nonsense\"\nhint: \"campagnol lab -h\" lists them\n"},
		{[]string{"status", "-V"}, 1, "", "campagnol: there is no option -V\n"},
	} {
		p := newProgram()
		code := p.execute(c.args...)
		if code != c.code || p.ran != "" {
			t.Errorf("%q: exit status %d, ran %q, want %d and nothing", c.args, code, p.ran, c.code)
		}
		for _, s := range []struct{ name, got, want string }{
			{"output", p.out.String(), c.out}, {"error", p.errOut.String(), c.errOut},
		} {
			if !strings.HasPrefix(s.got, s.want) || s.want == "" && s.got != "" {
				t.Errorf("%q: standard %s is %q, want %q", c.args, s.name, s.got, s.want)
			}
		}
	}
}

// TestWithoutSubcommands has the form of the rendezvous server.
func TestWithoutSubcommands(t *testing.T) {
	ran := false
	newRoot := func() (*cobra.Command, *bytes.Buffer) {
		root := &cobra.Command{Use: "rdv", Run: func(*cobra.Command, []string) { ran = true }}
		root.Flags().StringP("max-clients", "m", "", "")
		var b bytes.Buffer
		root.SetErr(&b)
		root.SetOut(&b)
		return root, &b
	}
	for _, c := range []struct {
		args []string
		code int
		out  string
	}{
		{[]string{"-m", "-1"}, 0, ""},
		{[]string{"help"}, 1, `rdv: there is no use for the argument "help"`},
		{[]string{"completion"}, 1, `rdv: there is no use for the argument "completion"`},
		{[]string{"-V"}, 1, "rdv: there is no option -V"}, // it has no version
	} {
		ran = false
		root, out := newRoot()
		if code := Execute(t.Context(), root, c.args); code != c.code || ran != (code == 0) || !strings.HasPrefix(out.String(), c.out) {
			t.Errorf("%q: exit status %d, ran %v, output %q", c.args, code, ran, out)
		}
	}
}

// TestCompletion checks that what shells ask reaches cobra unchanged.
func TestCompletion(t *testing.T) {
	p := newProgram()
	if code := p.execute("__complete", "stat"); code != 0 || !strings.Contains(p.out.String(), "status\t") {
		t.Errorf("exit status %d, output %q, want the subcommand", code, &p.out)
	}
}

// TestResults checks what comes of the error that a command returns.
func TestResults(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		code int
		want string
	}{
		{"none", nil, 0, ""},
		{"error", errors.New("no such file"), 1, "campagnol: no such file\n"},
		{"hint", WithHint(errors.New("port in use"), "use another than %d", 57888), 1,
			"campagnol: port in use\nhint: use another than 57888\n"},
		{"hint inside", fmt.Errorf("listen: %w", WithHint(os.ErrPermission, "be root")), 1,
			"campagnol: listen: permission denied\nhint: be root\n"},
		{"hint in the text", errors.New("bad\nhint: do better"), 1, "campagnol: bad\nhint: do better\n"},
		{"two, one hint", errors.Join(WithHint(errors.New("a"), "h"), WithHint(errors.New("b"), "h")), 1,
			"campagnol: a\ncampagnol: b\nhint: h\n"},
		{"exit status", &ExitError{Code: 3, Err: errors.New("degraded")}, 3, "campagnol: degraded\n"},
		{"exit status alone", &ExitError{Code: 130}, 130, ""},
		{"exit status with hint", fmt.Errorf("x: %w", &ExitError{Code: 2, Err: WithHint(errors.New("a"), "h")}), 2,
			"campagnol: a\nhint: h\n"},
		{"control characters", errors.New("a\x1b[2J\u202e\xffb�\tc\n"), 1, `campagnol: a\x1b[2J\u202e\xffb` + "�\tc\n"},
	} {
		p := newProgram()
		p.err = c.err
		if code := p.execute(); code != c.code || p.errOut.String() != c.want {
			t.Errorf("%s: exit status %d, printed %q, want %d, %q", c.name, code, &p.errOut, c.code, c.want)
		}
	}
}

func TestErrors(t *testing.T) {
	base := errors.New("base")
	if err := WithHint(base, "h"); !errors.Is(err, base) || err.Error() != "base" {
		t.Errorf("WithHint: %v", err)
	}
	if err := (&ExitError{Code: 2, Err: base}); !errors.Is(err, base) || err.Error() != "base" {
		t.Errorf("ExitError: %v", err)
	}
	if got, want := (&ExitError{Code: 2}).Error(), "exit status 2"; got != want {
		t.Errorf("ExitError without error: %q, want %q", got, want)
	}
}

// TestContext checks that the command has the context of Execute.
func TestContext(t *testing.T) {
	type key struct{}
	p := newProgram()
	var got any
	p.root.RunE = func(cmd *cobra.Command, _ []string) error {
		got = cmd.Context().Value(key{})
		return nil
	}
	Execute(context.WithValue(t.Context(), key{}, "x"), p.root, nil)
	if got != "x" {
		t.Errorf("context value %v, want x", got)
	}
}

func TestMarkNewPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("an option that does not exist was marked")
		}
	}()
	MarkNew(newProgram().root.Flags(), "nonsense")
}

// FuzzScan checks that no command line makes the scanner panic, that nothing
// gets lost, and that cobra, given the result, reads the same.
func FuzzScan(f *testing.F) {
	for _, s := range []string{"-vdDp x y", "--pid=x -- -v", "status -v", "lab exec a -- b", "-p", "--", "- -é", "--v --=", "lab raw -x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p := newProgram()
		prepare(p.root)
		l := line{root: p.root, cmd: p.root}
		if err := l.scan(strings.Split(s, " ")); err != nil {
			return
		}
		args := l.args()
		cmd, rest, err := p.root.Find(args)
		if err == nil && cmd != l.cmd {
			t.Errorf("%q: we run %q, cobra %q", s, l.cmd.CommandPath(), cmd.CommandPath())
		}
		if err != nil || cmd.DisableFlagParsing {
			return
		}
		if err := cmd.ParseFlags(rest); err == nil && !slices.Equal(cmd.Flags().Args(), l.operands) {
			t.Errorf("%q: our arguments are %q, cobra's %q", s, l.operands, cmd.Flags().Args())
		}
	})
}
