//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"campagnol/internal/logging"
)

// example are variables as they usually are.
var example = variables{
	device:    "tun0",
	vpnIP:     netip.MustParseAddr("10.9.0.1"),
	mtu:       1419,
	network:   "10.9.0.0/24",
	prefix:    netip.MustParsePrefix("10.9.0.0/24"),
	localPort: 57888,
	localIP:   netip.MustParseAddr("192.168.1.2"),
}

func TestExpand(t *testing.T) {
	for _, c := range []struct{ name, command, want string }{
		{"nothing", "true", "true"},
		{"empty", "", ""},
		{"all", "%D %V %M %N %n %P %I %%", "'tun0' 10.9.0.1 1419 '10.9.0.0/24' 255.255.255.0 57888 192.168.1.2 %"},
		{"of the original, up", "ifconfig %D %V mtu %M up", "ifconfig 'tun0' 10.9.0.1 mtu 1419 up"},
		{"of the original, route", "ip route replace %N via %V || route add -net %N gw %V",
			"ip route replace '10.9.0.0/24' via 10.9.0.1 || route add -net '10.9.0.0/24' gw 10.9.0.1"},
		{"unknown letters", "date +%H:%d %x% %é", "date +%H:%d %x% %é"},
		{"escaped at the end", "echo 100%%", "echo 100%"},
		{"escaped letter", "%%D %%%D %%%%D", "%D %'tun0' %%D"},
		{"adjacent", "%V%V:%P", "10.9.0.110.9.0.1:57888"},
		{"inside quotes", `echo "%D"`, `echo "'tun0'"`},
	} {
		if got := example.expand(c.command); got != c.want {
			t.Errorf("%s: %q becomes\n     %q\nwant %q", c.name, c.command, got, c.want)
		}
	}
}

// TestD_C14_PercentAtTheEnd: the original reads on behind the command.
func TestD_C14_PercentAtTheEnd(t *testing.T) {
	for command, want := range map[string]string{
		"echo 100%": "echo 100%", "%": "%", "%%%": "%%", "%V%": "10.9.0.1%",
	} {
		if got := example.expand(command); got != want {
			t.Errorf("%q becomes %q, want %q", command, got, want)
		}
	}
}

func TestNetmask(t *testing.T) {
	for prefix, want := range map[string]string{
		"0.0.0.0/0": "0.0.0.0", "10.0.0.0/8": "255.0.0.0", "10.9.8.0/21": "255.255.248.0", "10.9.0.1/32": "255.255.255.255",
	} {
		v := variables{prefix: netip.MustParsePrefix(prefix)}
		if got := v.expand("%n"); got != want {
			t.Errorf("the mask of %s is %s, want %s", prefix, got, want)
		}
	}
}

func FuzzExpand(f *testing.F) {
	f.Add("ifconfig %D %V mtu %M up", "tun0", "10.9.0.0/24")
	f.Add("%", "'", "a'b'")
	f.Add("%%%N%", "$(id)", "\\'\n`")
	f.Fuzz(func(t *testing.T, command, device, network string) {
		v := example
		v.device, v.network = device, network
		got := v.expand(command)
		if !strings.Contains(command, "%") && got != command {
			t.Errorf("%q becomes %q", command, got)
		}
		// Doubling the signs takes their meaning, and nothing else.
		if got := v.expand(strings.ReplaceAll(command, "%", "%%")); got != command {
			t.Errorf("%q, escaped, becomes %q", command, got)
		}
		for letter, s := range map[string]string{"%D": device, "%N": network} {
			if got, ok := unquote(v.expand(letter)); !ok || got != s {
				t.Errorf("%s for %q is %q, for the shell %q, %v", letter, s, v.expand(letter), got, ok)
			}
		}
	})
}

// unquote reads a word as the shell does that consists of strings between single
// quotes and of quotes escaped by a backslash, and reports whether it is one.
func unquote(word string) (string, bool) {
	var b strings.Builder
	for word != "" {
		if rest, ok := strings.CutPrefix(word, `\'`); ok {
			b.WriteByte('\'')
			word = rest
			continue
		}
		inside, rest, ok := strings.Cut(strings.TrimPrefix(word, "'"), "'")
		if word[0] != '\'' || !ok {
			return "", false
		}
		b.WriteString(inside)
		word = rest
	}
	return b.String(), true
}

// logged returns a log, and what returns all that it has so far.
func logged() (*slog.Logger, func() string) {
	var b bytes.Buffer
	return slog.New(logging.NewText(&b, &b, slog.LevelDebug)), b.String
}

// run runs commands with the example's variables and returns the log.
func run(t *testing.T, commands ...string) string {
	t.Helper()
	log, text := logged()
	runCommands(t.Context(), log, example, commands)
	return text()
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestQuoting lets the shell read values that are meant to get out of their
// quotes.
func TestQuoting(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir) // should one of them get out
	for _, value := range []string{
		"tun0", "", " ", "a b", "a'b", "'", "''", `\'`, `'\''`, `"`, "`touch escaped`", "$(touch escaped)", "'$(touch escaped)'", "'; touch escaped; '",
		"$HOME", "a\nb", "\n", "*", "~", "#", "-n", "%D", "%%", "!!", `\n`, "é", "\xff", "\t",
	} {
		v := example
		v.device, v.network = value, value
		log, text := logged()
		runCommands(t.Context(), log, v, []string{`printf '%%s|%%s' %D %N >quoted; printf '%%s|%%s' "$CAMPAGNOL_DEVICE" "$CAMPAGNOL_NETWORK" >environment`})
		for _, file := range []string{"quoted", "environment"} {
			if got, want := readFile(t, file), value+"|"+value; got != want {
				t.Errorf("%q arrives as %q (%s)\n%s", want, got, file, text())
			}
		}
	}
	if _, err := os.Stat("escaped"); err == nil {
		t.Error("the shell has run a part of a value")
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("CAMPAGNOL_TEST", "ours")
	t.Setenv("CAMPAGNOL_MTU", "1") // of another instance, which has started us
	file := filepath.Join(t.TempDir(), "env")
	run(t, "env | grep ^CAMPAGNOL_ | sort >"+file)
	want := `CAMPAGNOL_DEVICE=tun0
CAMPAGNOL_LOCAL_IP=192.168.1.2
CAMPAGNOL_LOCAL_PORT=57888
CAMPAGNOL_MTU=1419
CAMPAGNOL_NETMASK=255.255.255.0
CAMPAGNOL_NETWORK6=
CAMPAGNOL_NETWORK=10.9.0.0/24
CAMPAGNOL_TEST=ours
CAMPAGNOL_VPN_IP6=
CAMPAGNOL_VPN_IP=10.9.0.1
`
	if got := readFile(t, file); got != want {
		t.Errorf("environment\n%swant\n%s", got, want)
	}
}

// TestRunCommands checks the log word by word: scripts search it.
func TestRunCommands(t *testing.T) {
	for _, c := range []struct {
		name     string
		commands []string
		want     string
	}{
		{"none", nil, ""},
		{"success", []string{"true"}, "Running: true\nExited with status 0\n"},
		{"variables", []string{"test %D = tun0 -a %M = 1419"}, "Running: test 'tun0' = tun0 -a 1419 = 1419\nExited with status 0\n"},
		{"output", []string{"echo one; echo >&2; echo two >&2; printf three"},
			"Running: echo one; echo >&2; echo two >&2; printf three\nOutput: one\nOutput: two\nOutput: three\nExited with status 0\n"},
		{"a failure does not stop the others", []string{"exit 3", "true"},
			"Running: exit 3\nExited with status 3\nwarning: The command exit 3 failed with status 3\nRunning: true\nExited with status 0\n"},
		{"the output of a failure", []string{"echo the reason; false"},
			"Running: echo the reason; false\nOutput: the reason\nExited with status 1\n" +
				"warning: The command echo the reason; false failed with status 1 output=\"the reason\"\n"},
		{"no such program", []string{"/nowhere/program 2>/dev/null"},
			"Running: /nowhere/program 2>/dev/null\nExited with status 127\nwarning: The command /nowhere/program 2>/dev/null failed with status 127\n"},
		{"a signal", []string{"kill -TERM $$"},
			"Running: kill -TERM $$\nwarning: The command kill -TERM $$ failed: signal: terminated\n"},
		{"no input", []string{"cat; read line"},
			"Running: cat; read line\nExited with status 1\nwarning: The command cat; read line failed with status 1\n"},
		{"not for the shell", []string{"echo \x00"},
			"Running: echo \\x00\nwarning: The command echo \\x00 could not be run err=\"fork/exec /bin/sh: invalid argument\"\n"},
		{"output that a terminal would obey", []string{`printf '\033[2J\377\n'`},
			"Running: printf '\\033[2J\\377\\n'\nOutput: \\x1b[2J\\xff\nExited with status 0\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := run(t, c.commands...); got != c.want {
				t.Errorf("log\n%swant\n%s", got, c.want)
			}
		})
	}
}

// TestProcessGroup checks that a command is not in our group, whose members the
// terminal sends its signals to.
func TestProcessGroup(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	run(t, "echo $$ $(ps -o pgid= -p $$ 2>/dev/null || cut -d ' ' -f 5 /proc/$$/stat) >"+file)
	f := strings.Fields(readFile(t, file))
	if len(f) != 2 || f[0] != f[1] {
		t.Errorf("process and group are %q, want the same", f)
	}
	if f[0] == strconv.Itoa(syscall.Getpgrp()) {
		t.Error("the group is ours")
	}
}

func TestMuchOutput(t *testing.T) {
	got := run(t, "seq 1 200000; echo the end; exit 1")
	if len(got) > 20*maxOutput {
		t.Errorf("%d bytes are logged", len(got))
	}
	lines := strings.Split(strings.TrimSpace(got), "\n")
	if want := "Output: ... ("; len(lines) < 3 || !strings.HasPrefix(lines[1], want) {
		t.Fatalf("the log begins\n%.200s\nwant a second line with %q", got, want)
	}
	want := `warning: The command seq 1 200000; echo the end; exit 1 failed with status 1 output="199997\n199998\n199999\n200000\nthe end"`
	if last := lines[len(lines)-1]; last != want {
		t.Errorf("last line\n %s\nwant\n %s", last, want)
	}
}

func TestTail(t *testing.T) {
	long := strings.Repeat("x", maxOutput)
	for _, c := range []struct {
		name   string
		writes []string
		want   []string
	}{
		{"nothing", nil, nil},
		{"empty lines", []string{"\n\n", "\r\n"}, nil},
		{"lines in pieces", []string{"o", "ne\ntw", "o\r\n", "three"}, []string{"one", "two", "three"}},
		{"as much as is kept", []string{long}, []string{long}},
		{"more than is kept", []string{"lost\n", long}, []string{"... (5 bytes)", long}},
		{"more in one write", []string{"lost\n" + long}, []string{"... (5 bytes)", long}},
		{"cut in a line", []string{"lost", long[1:] + "\nend"}, []string{"... (7 bytes)", long[4:], "end"}},
	} {
		var tl tail
		for _, w := range c.writes {
			tl.write([]byte(w))
		}
		if got := tl.lines(); strings.Join(got, "\n") != strings.Join(c.want, "\n") || len(got) != len(c.want) {
			t.Errorf("%s: got %d lines, want %d\n%.300q\n%.300q", c.name, len(got), len(c.want), got, c.want)
		}
	}
}

// fifo makes a named pipe and returns its name.
func fifo(t *testing.T, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// sleeper returns a command that sleeps, in a process that the shell starts in
// the background, too, and what waits until both run, and then until both are
// gone: they hold a pipe open.
func sleeper(t *testing.T) (command string, running, gone func()) {
	t.Helper()
	path := fifo(t, t.TempDir(), "alive")
	var pipe *os.File
	return fmt.Sprintf("exec 3>%s; sleep 1000 & sleep 1000; echo not reached", path),
		func() {
			t.Helper()
			var err error
			if pipe, err = os.Open(path); err != nil { // waits for the writer
				t.Fatal(err)
			}
			t.Cleanup(func() { pipe.Close() })
		},
		func() {
			t.Helper()
			if err := pipe.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if n, err := pipe.Read(make([]byte, 1)); n != 0 || os.IsTimeout(err) {
				t.Errorf("processes of the command are still there: %d, %v", n, err)
			}
		}
}

func TestCommandTimeout(t *testing.T) {
	command, running, gone := sleeper(t)
	log, text := logged()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runCommand(t.Context(), log, example, "echo hung; "+command, time.Second)
	}()
	running()
	<-done
	gone()
	want := fmt.Sprintf("Running: echo hung; %s\nOutput: hung\n"+
		"warning: The command echo hung; %s was killed, because it took longer than 1s output=hung\n", command, command)
	if got := text(); got != want {
		t.Errorf("log\n%swant\n%s", got, want)
	}
}

func TestCommandsCancelled(t *testing.T) {
	command, running, gone := sleeper(t)
	file := filepath.Join(t.TempDir(), "run")
	log, text := logged()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runCommands(ctx, log, example, []string{command, "touch " + file})
	}()
	running()
	cancel()
	<-done
	gone()
	want := fmt.Sprintf("Running: %s\nThe command %s was killed, because the program ends\nNot running: touch %s\n", command, command, file)
	if got := text(); got != want {
		t.Errorf("log\n%swant\n%s", got, want)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the second command was run")
	}
}

// TestBackground checks that a program that a command leaves behind neither
// holds us up nor dies of what it writes.
func TestBackground(t *testing.T) {
	dir := t.TempDir()
	in, out := fifo(t, dir, "in"), fifo(t, dir, "out")
	began := time.Now()
	got := run(t, fmt.Sprintf("{ read line <%s; seq 1 100000; echo $? >%s; } & echo started", in, out))
	if d := time.Since(began); d > commandTimeout/2 {
		t.Errorf("the command took %v", d)
	}
	if !strings.HasSuffix(got, "Output: started\nExited with status 0\n") {
		t.Errorf("log\n%s", got)
	}
	result := make(chan string, 1)
	go func() {
		b, err := os.ReadFile(out)
		result <- fmt.Sprint(string(b), err)
	}()
	if err := os.WriteFile(in, []byte("go on\n"), 0); err != nil {
		t.Fatal(err)
	}
	select {
	case r := <-result:
		if r != "0\n<nil>" {
			t.Errorf("the program in the background has ended with %q", r)
		}
	case <-time.After(10 * time.Second):
		t.Error("the program in the background has died, or hangs")
	}
}

// TestShell checks the assumption of these tests and of configurations: that the
// shell is there.
func TestShell(t *testing.T) {
	cmd, err := shell(t.Context(), "exit 7")
	if err != nil {
		t.Fatal(err)
	}
	err = cmd.Run()
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 7 {
		t.Errorf("got %v, want exit status 7", err)
	}
}
