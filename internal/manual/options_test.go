package manual

import (
	"strings"
	"testing"

	"campagnol/internal/cli"
)

// TestOptions has what becomes of options.
func TestOptions(t *testing.T) {
	for _, c := range []struct {
		name string
		flag cli.Flag
		want string
	}{
		{"without value", cli.Flag{Name: "json", Usage: "write JSON"}, ".It Fl \\-json\nWrite JSON."},
		{"with letter", cli.Flag{Name: "no-x", Shorthand: "n", Usage: "do without"}, ".It Fl n , Fl \\-no\\-x\nDo without."},
		{"with value", cli.Flag{Name: "dir", Value: "DIR", Usage: "write to DIR; such as /x"}, ".It Fl \\-dir Ar dir\nWrite to\n.Ar dir ;\nsuch as\n.Pa /x ."},
		{"optional value", cli.Flag{Name: "rsa", Value: "number", Optional: true, Usage: "bits"}, ".It Fl \\-rsa Ns Oo = Ns Ar number Oc\nBits."},
		{"alternatives", cli.Flag{Name: "mode", Value: "tun|tap", Usage: "what there is: tun|tap", Default: "tun"}, ".It Fl \\-mode Cm tun | tap\nWhat there is.\nThe default is tun."},
		{"address", cli.Flag{Name: "web", Value: "ADDRESS:PORT", Usage: "at ADDRESS:PORT"}, ".It Fl \\-web Ar address Ns \\&: Ns Ar port\nAt\n.Ar address Ns \\&: Ns Ar port ."},
		{"range", cli.Flag{Name: "ports", Value: "A-B", Usage: "ports A-B"}, ".It Fl \\-ports Ar A Ns \\- Ns Ar B\nPorts\n.Ar A Ns \\- Ns Ar B ."},
		{"default in the text", cli.Flag{Name: "d", Value: "D", Usage: "where (default the best)"}, ".It Fl \\-d Ar D\nWhere.\nThe default is the best."},
		{"default behind a semicolon", cli.Flag{Name: "d", Value: "D", Usage: "where; 0: nowhere; (default /x)"}, ".It Fl \\-d Ar D\nWhere; 0: nowhere.\nThe default is\n.Pa /x ."},
		{"default within the text", cli.Flag{Name: "d", Value: "D", Usage: "bits (default 7) for all"}, ".It Fl \\-d Ar D\nBits (default 7) for all."},
		{"more in the prose", cli.Flag{Name: "more", Usage: "see"}, ".It Fl \\-more\nSee.\nMuch more."},
	} {
		t.Run(c.name, func(t *testing.T) {
			prose := &Prose{options: map[string][]string{"--more": {"Much more."}}}
			got := strings.Join(testMarker().options([]cli.Flag{c.flag}, prose), "\n")
			if want := ".Bl -tag -width Ds\n" + c.want + "\n.El"; got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
	if got := testMarker().options(nil, nil); got != nil {
		t.Errorf("without options there is %q", got)
	}
}

// TestSynopsis has lines of use.
func TestSynopsis(t *testing.T) {
	flags := []cli.Flag{{Name: "debug", Shorthand: "d"}, {Name: "json"}, {Name: "pid", Shorthand: "p", Value: "FILE"}, {Name: "quiet", Shorthand: "q"}}
	for _, c := range []struct{ command, use, want string }{
		{"p", "p", ".Nm p|.Op Fl d|.Op Fl \\-json|.Op Fl p Ar file|.Op Fl q"},
		{"p", "p [-dq] [-p FILE] [CONFIGURATION]", ".Nm p|.Op Fl dq|.Op Fl p Ar file|.Op Fl \\-json|.Op Ar configuration"},
		{"p ca init", "init NAME", ".Nm p Cm ca init|.Op Fl d|.Op Fl \\-json|.Op Fl p Ar file|.Op Fl q|.Ar name"},
		{"p c", "c NAME|SERIAL", ".Nm p Cm c|.Op Fl d|.Op Fl \\-json|.Op Fl p Ar file|.Op Fl q|.Ar name | Ar serial"},
		{"p c", "c FILE [A B]", ".Nm p Cm c|.Op Fl d|.Op Fl \\-json|.Op Fl p Ar file|.Op Fl q|.Ar file|.Op Ar A Ar B"},
		{"p c", "c --json FILE | --debug", ".Nm p Cm c|.Fl \\-json Ar file | Fl \\-debug|.Op Fl p Ar file|.Op Fl q"},
		{"p c", "c VPN-ADDRESS | --pid", ".Nm p Cm c|.Op Fl d|.Op Fl \\-json|.Op Fl q|.Ar vpn\\-address | Fl \\-pid"},
	} {
		got := strings.Join(synopsis(c.command, cli.Description{Use: c.use, Flags: flags}), "|")
		if got != c.want {
			t.Errorf("%s, %q: got\n%s\nwant\n%s", c.command, c.use, got, c.want)
		}
	}
}

// TestFaults: what helps lack is told.
func TestFaults(t *testing.T) {
	good := cli.Description{Name: "do", Use: "do FILE", Short: "Do it", Long: "Do it with FILE.", Example: "  p do x", Flags: []cli.Flag{{Name: "json", Usage: "write JSON"}}}
	with := func(change func(d *cli.Description)) cli.Description {
		d := good
		change(&d)
		return cli.Description{Name: "p", Use: "p [X]", Long: "It is.", Example: "  p -D", Commands: []cli.Description{d}}
	}
	for _, c := range []struct {
		name   string
		change func(d *cli.Description)
		want   string
	}{
		{"nothing", func(d *cli.Description) {}, ""},
		{"no line", func(d *cli.Description) { d.Short = "" }, "the line about it"},
		{"line with a full stop", func(d *cli.Description) { d.Short = "Do it." }, "the line about it"},
		{"small letter", func(d *cli.Description) { d.Short = "do it" }, "the line about it"},
		{"no text", func(d *cli.Description) { d.Long, d.Use = "", "do" }, "its help does not end"},
		{"long line", func(d *cli.Description) { d.Long = "FILE " + strings.Repeat("x", 100) + "." }, "the line is too long"},
		{"argument", func(d *cli.Description) { d.Use = "do FILE [PEER]" }, "p do: its help does not say what PEER is"},
		{"no example", func(d *cli.Description) { d.Example = "" }, "there is no example"},
		{"example of another command", func(d *cli.Description) { d.Example = "  p done" + "\n  p x" }, "not one of this command"},
		{"example without indentation", func(d *cli.Description) { d.Example = "p do x" }, "is not indented"},
		{"option without help", func(d *cli.Description) { d.Flags = []cli.Flag{{Name: "x"}} }, "p do --x: its help is"},
		{"option with a sentence", func(d *cli.Description) { d.Flags = []cli.Flag{{Name: "x", Usage: "It is."}} }, "p do --x: its help is"},
		{"value without name", func(d *cli.Description) { d.Flags = []cli.Flag{{Name: "x", Usage: "it", Value: "int"}} }, "nobody has said what its value is"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Faults(with(c.change))
			if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)) {
				t.Errorf("got %q, want one with %q", got, c.want)
			}
		})
	}
}
