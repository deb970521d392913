//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestIntroduction is the server's whole purpose: two clients, on a host with
// several addresses, each of which talks to another one.
func TestIntroduction(t *testing.T) {
	t.Parallel()
	p := start(t, "-v")
	a := dial(t, "127.0.0.2", "127.0.0.5", p.port)
	b := dial(t, "127.0.0.3", "127.0.0.6", p.port)

	a.send(ping)
	a.receive(reconnect)
	a.send(hello1)
	a.receive(ok)
	b.send("0000000a090002000000") // one byte short
	b.send(hello2 + "00")          // one byte long
	b.send(hello2)
	b.receive(ok)
	a.send(ask2)
	a.receive("07" + b.endpoint() + "0a090002")
	b.receive("06" + a.endpoint() + "0a090001")
	b.send("0d00000a09000100000000") // CLOSE
	b.send(ping)
	b.receive(pong)
	a.send("0200000a09004d00000000") // ASK for 10.9.0.77
	a.receive("0800000a09004d00000000")
	a.send(bye)
	a.send(ping)
	a.receive(reconnect)
	b.send(ask1)
	b.receive("0800000a09000100000000")

	p.signal(syscall.SIGTERM)
	for _, want := range []string{
		`^Adding new client \[127\.0\.0\.2/\d+\] 10\.9\.0\.1$`,
		`^Adding new client \[127\.0\.0\.3/\d+\] 10\.9\.0\.2$`,
		`^New connection from 10\.9\.0\.1 to 10\.9\.0\.2$`,
		`^Remove connection from 10\.9\.0\.1 to 10\.9\.0\.2$`,
		`^Deleting the client \[127\.0\.0\.2/\d+\] 10\.9\.0\.1$`,
		`^Received signal 15, exiting\.\.\.$`,
	} {
		if got := p.waitLine(""); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("line %q does not match %q", got, want)
		}
	}
	if code := p.wait(); code != 0 || p.stderr.Len() > 0 {
		t.Errorf("exit status %d, standard error %q, want 0 and nothing", code, &p.stderr)
	}
}

// TestLocalIntroduction has two clients behind one public address.
func TestLocalIntroduction(t *testing.T) {
	t.Parallel()
	p := start(t)
	a, b := dial(t, "", "127.0.0.1", p.port), dial(t, "", "127.0.0.1", p.port)
	a.send("00c0e40a090001c0a80102") // 192.168.1.2:49380
	a.receive(ok)
	b.send("00b4ac0a090004c0a80103") // 192.168.1.3:46252
	b.receive(ok)
	a.send("0200000a09000400000000")
	a.receive("07b4acc0a801030a090004")
	b.receive("06c0e4c0a801020a090001")
}

func TestSignals(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT} {
		p := start(t)
		c := dial(t, "", "127.0.0.1", p.port)
		p.signal(syscall.SIGHUP)
		c.send(ping)
		c.receive(reconnect) // still there
		p.signal(s)
		p.waitLine(fmt.Sprintf("Received signal %d, exiting...", int(s)))
		if code := p.wait(); code != 0 || p.stderr.Len() > 0 {
			t.Errorf("%v: exit status %d, standard error %q, want 0 and nothing", s, code, &p.stderr)
		}
	}
}

// TestSecondSignal stops a server that hangs because nobody reads its output.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	port := freePort(t)
	cmd := exec.Command(binary, "-dd", "-p", fmt.Sprint(port))
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if _, err := r.Read(make([]byte, 8)); err != nil { // it has started
		t.Fatal(err)
	}
	c := dial(t, "", "127.0.0.1", port)
	answered := func() bool {
		c.send(ping)
		c.conn.SetReadDeadline(time.Now().Add(time.Second))
		_, err := c.conn.Read(make([]byte, 100))
		return err == nil
	}
	for i := 0; answered(); i++ { // until the pipe is full
		if i > 10000 {
			t.Fatal("the server does not hang")
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-ended:
		t.Fatalf("it ended with %v at the first signal, although it hangs", err)
	case <-time.After(500 * time.Millisecond):
	}
	cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(patience):
		cmd.Process.Kill()
		t.Fatal("the second signal does not end it")
	}
	if got, want := cmd.ProcessState.ExitCode(), 128+15; got != want {
		t.Errorf("exit status %d, want %d", got, want)
	}
}

// TestClosedStdout has nobody read the log.
func TestClosedStdout(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	cmd := exec.Command(binary, "-v", "-p", fmt.Sprint(port))
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if _, err := io.ReadFull(r, make([]byte, len("Server listening on port "))); err != nil {
		t.Fatal(err)
	}
	r.Close()
	c := dial(t, "", "127.0.0.1", port)
	for range 3 { // each is logged
		c.send(hello1)
		c.receive(ok)
		c.send(bye)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
}

func TestMaxClients(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ option, second string }{{"-m1", nok}, {"-m0", ok}, {"--max-clients=2x", ok}} {
		p := start(t, c.option)
		a, b := dial(t, "127.0.0.2", "127.0.0.1", p.port), dial(t, "127.0.0.3", "127.0.0.1", p.port)
		a.send(hello1)
		a.receive(ok)
		b.send(hello2)
		b.receive(c.second)
		p.signal(syscall.SIGTERM)
		p.wait()
		if warned := strings.HasPrefix(p.stderr.String(), "warning: "); warned != strings.HasSuffix(c.option, "x") {
			t.Errorf("%s: standard error %q", c.option, &p.stderr)
		}
	}
}

// TestDebug has the lines of -d and -d -d.
func TestDebug(t *testing.T) {
	t.Parallel()
	p := start(t, "-d", "--deb")
	c := dial(t, "", "127.0.0.1", p.port)
	c.send(ping)
	c.receive(reconnect)
	at := c.conn.LocalAddr().String()
	for _, want := range []string{"<< PING received from " + at, ping, ">> RECONNECT sent to client " + at, reconnect} {
		p.waitLine(want)
	}
}

func TestJSONLog(t *testing.T) {
	t.Parallel()
	p := start(t, "--log-format", "json", "-v")
	c := dial(t, "", "127.0.0.1", p.port)
	c.send(hello1)
	c.receive(ok)
	var got struct{ Level, Msg, IP, VPN, Time string }
	if l := p.waitLine("Adding"); json.Unmarshal([]byte(l), &got) != nil {
		t.Fatalf("line %q is not JSON", l)
	}
	if got.Level != "INFO" || got.Msg != "Adding new client [{ip}/{port}] {vpn}" || got.IP != "127.0.0.1" || got.VPN != "10.9.0.1" || got.Time == "" {
		t.Errorf("got %+v", got)
	}
}

// TestCommandLine has what does not start a server.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	taken, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	takenPort := fmt.Sprint(taken.LocalAddr().(*net.UDPAddr).Port)
	for _, c := range []struct {
		args []string
		code int
		want string // in standard error
	}{
		{[]string{"-V"}, 0, "campagnol_rdv 1."},
		{[]string{"--vers"}, 0, "campagnol_rdv 1."},
		{[]string{"-h"}, 1, "campagnol_rdv [-dDhvV] [-m N] [-p PORT] [-P FILE]"},
		{[]string{"--help"}, 1, "--max-clients"},
		{[]string{"-x"}, 1, "campagnol_rdv: there is no option -x\nhint: "},
		{[]string{"--ver"}, 1, "ambiguous"},
		{[]string{"-p"}, 1, "option -p needs a value"},
		{[]string{"-p", "0"}, 1, `option --port: "0" is not a port number` + "\nhint: "},
		{[]string{"-p", "65536"}, 1, "65536"},
		{[]string{"-p", "x"}, 1, `"x"`},
		{[]string{"-m", "-1"}, 1, `option --max-clients: "-1"`},
		{[]string{"-mx"}, 1, `"x"`},
		{[]string{"--log-format=xml"}, 1, `option --log-format: the format is text or json, not "xml"`},
		{[]string{"file"}, 1, `there is no use for the argument "file"`},
		{[]string{"-p", takenPort}, 1, "campagnol_rdv: udp: listen on [::]:" + takenPort},
	} {
		cmd := exec.Command(binary, c.args...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != c.code || !strings.Contains(stderr.String(), c.want) || stdout.Len() > 0 {
			t.Errorf("%q: exit status %d, want %d; standard output %q, want none; standard error %q, want %q in it",
				c.args, got, c.code, &stdout, &stderr, c.want)
		}
	}
}

// TestServiceManager plays systemd.
func TestServiceManager(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	next := func() string { // but for the text for people, which may come at any time
		for {
			b := make([]byte, 100)
			conn.SetReadDeadline(time.Now().Add(patience))
			n, err := conn.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			if said := string(b[:n]); !strings.HasPrefix(said, "STATUS=") {
				return said
			}
		}
	}
	p := start(t)
	if got := next(); got != "READY=1" {
		t.Errorf("after the start: %q", got)
	}
	p.signal(syscall.SIGTERM)
	if got := next(); got != "STOPPING=1" {
		t.Errorf("after the signal: %q", got)
	}
	p.wait()
}
