package resolved

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"campagnol/internal/testenv"
)

// startBus starts a D-Bus daemon of the test's own, as the bus of the system, and returns a
// connection with it.
func startBus(t *testing.T) *dbus.Conn {
	t.Helper()
	program := testenv.Tool(t, "dbus-daemon", "dbus-daemon")
	dir := t.TempDir()
	conf := filepath.Join(dir, "bus.conf")
	text := fmt.Sprintf(`<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=%s/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/></policy></busconfig>`, dir)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--config-file="+conf, "--nofork", "--print-address=1")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", strings.TrimSpace(address))
	conn, err := dbus.ConnectSystemBus()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// A recorder is a service like systemd-resolved that notes what it is told.
type recorder struct {
	mu    sync.Mutex
	calls []string
	fails string // the method that is refused
}

func (r *recorder) note(method string, args ...any) *dbus.Error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, method+strings.TrimSuffix(fmt.Sprintln(append([]any{""}, args...)...), "\n"))
	if r.fails == method {
		return dbus.NewError("org.freedesktop.resolve1.LinkBusy", []any{"somebody manages the link"})
	}
	return nil
}

// The methods of the service, with the types that it has.

func (r *recorder) SetLinkDNS(index int32, servers []linkAddress) *dbus.Error {
	return r.note("SetLinkDNS", index, servers)
}

func (r *recorder) SetLinkDomains(index int32, domains []linkDomain) *dbus.Error {
	return r.note("SetLinkDomains", index, domains)
}

func (r *recorder) SetLinkDefaultRoute(index int32, yes bool) *dbus.Error {
	return r.note("SetLinkDefaultRoute", index, yes)
}

func (r *recorder) SetLinkDNSSEC(index int32, mode string) *dbus.Error {
	return r.note("SetLinkDNSSEC", index, mode)
}

func (r *recorder) RevertLink(index int32) *dbus.Error { return r.note("RevertLink", index) }

// said returns what the service was told since the last time.
func (r *recorder) said() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := r.calls
	r.calls = nil
	return calls
}

// offer makes a recorder the service.
func offer(t *testing.T, conn *dbus.Conn, r *recorder) *recorder {
	t.Helper()
	if err := conn.Export(r, object, manager); err != nil {
		t.Fatal(err)
	}
	if reply, err := conn.RequestName(service, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("%v, %v", reply, err)
	}
	return r
}

var link = Link{Index: 7, Servers: []netip.Addr{netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("fd09::1")},
	Domain: "vpn.example", Reverse: []string{"0.9.10.in-addr.arpa"}}

// want is what the service is told of link.
var want = []string{
	"SetLinkDNS 7 [{2 [10 9 0 1]} {10 [253 9 0 0 0 0 0 0 0 0 0 0 0 0 0 1]}]",
	"SetLinkDomains 7 [{vpn.example false} {0.9.10.in-addr.arpa true}]",
	"SetLinkDefaultRoute 7 false",
	"SetLinkDNSSEC 7 no",
}

// A keeping is a call of Keep.
type keeping struct {
	told chan error
	stop context.CancelFunc
	done chan error
}

func keep(t *testing.T) *keeping {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	k := &keeping{told: make(chan error, 8), stop: cancel, done: make(chan error, 1)}
	go func() { k.done <- Keep(ctx, link, func(err error) { k.told <- err }) }()
	return k
}

// next returns what has become of it next.
func (k *keeping) next(t *testing.T) error {
	t.Helper()
	select {
	case err := <-k.told:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("nothing is told")
		return nil
	}
}

// end ends it, and returns its error.
func (k *keeping) end(t *testing.T) error {
	t.Helper()
	k.stop()
	select {
	case err := <-k.done:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("it does not end")
		return nil
	}
}

func TestKeep(t *testing.T) {
	r := offer(t, startBus(t), &recorder{})
	k := keep(t)
	if err := k.next(t); err != nil {
		t.Fatal(err)
	}
	if got := r.said(); !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	if err := k.end(t); err != nil {
		t.Error(err)
	}
	if got := r.said(); !slices.Equal(got, []string{"RevertLink 7"}) {
		t.Errorf("at the end told %q", got)
	}
}

// TestKeepAgain: a service that comes, or comes back, is told what it cannot know.
func TestKeepAgain(t *testing.T) {
	conn := startBus(t)
	k := keep(t)
	if err := k.next(t); !errors.Is(err, ErrNotThere) {
		t.Errorf("without the service: %v, want %v", err, ErrNotThere)
	}
	r := &recorder{}
	for range 2 {
		offer(t, conn, r)
		if err := k.next(t); err != nil {
			t.Fatal(err)
		}
		if got := r.said(); !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
		if _, err := conn.ReleaseName(service); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.end(t); err == nil {
		t.Error("that the service cannot be told of the end is no error")
	}
	if got := r.said(); len(got) > 0 {
		t.Errorf("a service that is gone was told %q", got)
	}
}

// TestKeepRefused: what was told before a refusal is taken back, and not once more in
// the end.
func TestKeepRefused(t *testing.T) {
	r := offer(t, startBus(t), &recorder{fails: "SetLinkDomains"})
	k := keep(t)
	if err := k.next(t); err == nil || !strings.Contains(err.Error(), "SetLinkDomains") || !strings.Contains(err.Error(), "somebody manages the link") {
		t.Errorf("got %v", err)
	}
	if got := r.said(); len(got) != 3 || got[2] != "RevertLink 7" {
		t.Errorf("told %q", got)
	}
	if err := k.end(t); err != nil {
		t.Error(err)
	}
	if got := r.said(); len(got) > 0 {
		t.Errorf("in the end told %q", got)
	}
}

// TestNoBus: without a bus the error says that the service is not there.
func TestNoBus(t *testing.T) {
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+filepath.Join(t.TempDir(), "none"))
	k := keep(t)
	if err := k.next(t); !errors.Is(err, ErrNotThere) {
		t.Errorf("got %v, want %v", err, ErrNotThere)
	}
	if err := k.end(t); err != nil {
		t.Error(err)
	}
}

// TestStarts: only signals of the bus about the service count.
func TestStarts(t *testing.T) {
	const changed = "org.freedesktop.DBus.NameOwnerChanged"
	for _, c := range []struct {
		name string
		body []any
		want bool
	}{
		{changed, []any{service, "", ":1.7"}, true},
		{changed, []any{service, ":1.7", ""}, false},
		{changed, []any{"org.example", "", ":1.7"}, false},
		{changed, []any{service, ""}, false},
		{changed, []any{service, "", 7}, false},
		{changed, nil, false},
		{"org.freedesktop.DBus.NameAcquired", []any{service, "", ":1.7"}, false},
	} {
		if got := starts(&dbus.Signal{Name: c.name, Body: c.body}); got != c.want {
			t.Errorf("%s %v: %v, want %v", c.name, c.body, got, c.want)
		}
	}
}
