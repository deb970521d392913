package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"campagnol/internal/testenv/guide"
)

// services are the units that the document starts, with the capabilities that they have.
var services = map[string]uint64{
	"campagnol":        1<<12 | 1<<10, // CAP_NET_ADMIN, CAP_NET_BIND_SERVICE
	"campagnol@office": 1<<12 | 1<<10,
	"campagnol_rdv":    1 << 10,
}

// TestSystemd installs the package on a machine that systemd runs, does what the document
// says, and looks whether the services are what their units promise. A call that the
// filters refuse ends a service here: there must be none.
func TestSystemd(t *testing.T) {
	g := guide.Open(t, "docs/install.md", "systemd")
	v := newVPN(t)
	m := v.alice
	v.install("1.0.0")
	for _, unit := range []string{"campagnol", "campagnol@", "campagnol_rdv"} {
		m.write("/etc/systemd/system/"+unit+".service.d/deadly.conf", "[Service]\nSystemCallErrorNumber=kill\n", 0o644)
	}
	m.write("/etc/systemd/system/campagnol@office.service.d/watchdog.conf", "[Service]\nWatchdogSec=2\n", 0o644)
	m.run("systemctl", "daemon-reload")
	v.serve()
	v.configure("/etc/campagnol.conf", "alice", "10.9.0.1", "10.9.0.0/24", "")
	v.configure("/etc/campagnol/office.conf", "office", "10.8.0.1", "10.8.0.0/24",
		"nonsense = yes\n[CLIENT]\nstate_dir = /var/lib/campagnol/office\n[COMMANDS]\ndefault_up = no\n"+
			"up = ip addr add %V dev %D && ip link set %D mtu %M txqueuelen 321 up && ip route replace %N dev %D\n")
	for c := range g.Commands() {
		m.run("sh", "-c", c.Line)
	}
	v.startBob("")
	v.ping()
	for unit, capabilities := range services {
		m.wantService(unit, capabilities)
	}
	v.wantWords()
	v.wantReload()
	v.wantRestarts()
	v.wantUpgrade()
	v.wantRemoval()
}

// wantService checks that a service runs, and with what rights.
func (m *machine) wantService(unit string, capabilities uint64) {
	m.t.Helper()
	for name, want := range map[string]string{"ActiveState": "active", "SubState": "running", "Type": "notify", "UnitFileState": "enabled", "NRestarts": "0"} {
		if got := m.property(unit, name); got != want {
			m.t.Errorf("%s: %s is %q, want %q", unit, name, got, want)
		}
	}
	uid, gid := m.user("campagnol")
	same := func(id int) string { return strings.Repeat("\t"+strconv.Itoa(id), 4)[1:] }
	caps := fmt.Sprintf("%016x", capabilities)
	status := m.status(m.process(unit))
	for key, want := range map[string]string{
		"Uid": same(uid), "Gid": same(gid), "Groups": strconv.Itoa(gid),
		"CapInh": caps, "CapPrm": caps, "CapEff": caps, "CapBnd": caps, "CapAmb": caps,
		"NoNewPrivs": "1", "Seccomp": "2", // a filter
	} {
		if got := status[key]; got != want {
			m.t.Errorf("%s: %s is %q, want %q", unit, key, got, want)
		}
	}
	if got := m.status(1)["Seccomp"]; got != "0" {
		m.t.Errorf("systemd itself has a filter (Seccomp: %s): those of services may not be theirs", got)
	}
	// Of what only root has, nothing is to be seen, and nothing can be written.
	for _, command := range []string{"ls /root/", "ls /home/", "touch /etc/x", "touch /var/lib/x", "touch /run/x"} {
		pid := m.process(unit)
		line := fmt.Sprintf("nsenter --target %d --mount --setuid %d --setgid %d -- %s", pid, uid, gid, command)
		if out, err := m.try("sh", "-c", line); err == nil {
			m.t.Errorf("%s: %q is possible: %s", unit, command, out)
		}
	}
}

// priorities returns the messages of a service with their priorities.
func (m *machine) priorities(unit string) map[string]string {
	m.t.Helper()
	all := map[string]string{}
	for line := range strings.Lines(m.run("journalctl", "--output=json", "--unit="+unit, "_SYSTEMD_UNIT="+unit+".service")) {
		var entry struct{ Priority, Message string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			m.t.Fatal(err)
		}
		all[entry.Message] = entry.Priority
	}
	return all
}

// wantWords checks what the services tell the journal and systemd.
func (v *vpn) wantWords() {
	v.t.Helper()
	m := v.alice
	if got := m.priorities("campagnol")["Starting VPN"]; got != "5" {
		v.t.Errorf("the start has the priority %q, want 5 (notice)", got)
	}
	warned := false
	for message, priority := range m.priorities("campagnol@office") {
		if strings.Contains(message, "nonsense") {
			warned = true
			if priority != "4" || strings.HasPrefix(message, "warning: ") {
				v.t.Errorf("%q has the priority %q, want 4 (warning)", message, priority)
			}
		}
	}
	if !warned {
		v.t.Error("nothing is said about a key that nobody knows")
	}
	if out := m.run("journalctl", "--quiet", "--priority=warning", "--unit=campagnol", "--unit=campagnol_rdv"); out != "" {
		v.t.Errorf("there is something to warn of:\n%s", out)
	}
	for unit, want := range map[string]string{
		"campagnol":        "Registered with 203.0.113.10:57888; 1 tunnel is open",
		"campagnol@office": "Registered with 203.0.113.10:57888; 0 tunnels are open",
		"campagnol_rdv":    "3 clients are registered",
	} {
		m.await("the status of "+unit, func() error {
			if got := m.property(unit, "StatusText"); got != want {
				return fmt.Errorf("it is %q, want %q", got, want)
			}
			return nil
		})
		if out := m.run("systemctl", "status", "--no-pager", unit); !strings.Contains(out, `Status: "`+want+`"`) {
			v.t.Errorf("systemctl status shows\n%s", out)
		}
	}
	if out := m.run("campagnol_rdv", "status"); !strings.Contains(out, "clients: 3") {
		v.t.Errorf("campagnol_rdv status says\n%s", out)
	}
	if out := m.run("ip", "link", "show", "tun1") + m.run("ip", "link", "show", "tun0"); !strings.Contains(out, "qlen 321") {
		v.t.Errorf("the command of a configuration has done nothing:\n%s", out)
	}
}

// wantReload checks that a reload takes the new configuration, and ends nothing.
func (v *vpn) wantReload() {
	v.t.Helper()
	m := v.alice
	for unit := range services {
		before := m.process(unit)
		m.run("systemctl", "reload", unit)
		if after := m.process(unit); after != before {
			v.t.Errorf("%s: process %d is %d after a reload", unit, before, after)
		}
		m.await(unit+" has reloaded", func() error {
			if got := m.property(unit, "ActiveState"); got != "active" {
				return fmt.Errorf("it is %s", got)
			}
			return nil
		})
	}
	if got := m.priorities("campagnol")["reloading the configuration..."]; got != "5" {
		v.t.Errorf("the reload has the priority %q, want 5", got)
	}
	v.ping()
}

// wantRestarts checks that services are there again: after a restart, and when they have
// been killed or are stuck.
func (v *vpn) wantRestarts() {
	v.t.Helper()
	m := v.alice
	before := m.process("campagnol")
	m.run("systemctl", "restart", "campagnol")
	killed := m.process("campagnol")
	if killed == before {
		v.t.Error("after a restart it is the same process")
	}
	v.ping()

	stuck := m.process("campagnol@office")
	m.run("sh", "-c", fmt.Sprintf("kill -KILL %d && kill -STOP %d", killed, stuck)) // the watchdog has to find out about one of them
	for unit, result := range map[string]string{"campagnol": "status=9/KILL", "campagnol@office": "Watchdog timeout"} {
		m.await(unit+" runs again", func() error {
			if restarts, state := m.property(unit, "NRestarts"), m.property(unit, "ActiveState"); restarts == "0" || state != "active" {
				return fmt.Errorf("it is %s after %s starts", state, restarts)
			}
			return nil
		})
		if out := m.run("journalctl", "--unit="+unit); !strings.Contains(out, result) || strings.Contains(out, "SYS") {
			v.t.Errorf("%s has ended otherwise than by %q:\n%s", unit, result, out)
		}
	}
	v.ping()
}

// wantUpgrade checks that after an upgrade what ran runs in the new version, and nothing
// else does.
func (v *vpn) wantUpgrade() {
	v.t.Helper()
	m := v.alice
	m.run("systemctl", "stop", "campagnol@office")
	before := map[string]int{"campagnol": m.process("campagnol"), "campagnol_rdv": m.process("campagnol_rdv")}
	v.install("1.0.1")
	for unit, pid := range before {
		if after := m.process(unit); after == pid || after == 0 {
			v.t.Errorf("%s: the process %d before the upgrade is %d after it", unit, pid, after)
		}
	}
	if got := m.property("campagnol@office", "ActiveState"); got != "inactive" {
		v.t.Errorf("a service that was stopped is %s after the upgrade", got)
	}
	v.ping()
}

// wantRemoval checks that a service that is stopped leaves no device, and a package that
// is removed no service.
func (v *vpn) wantRemoval() {
	v.t.Helper()
	m := v.alice
	out := m.run("ip", "link")
	if !strings.Contains(out, "tun") {
		v.t.Errorf("there is no device while the client runs:\n%s", out)
	}
	m.run("systemctl", "stop", "campagnol")
	if out := m.run("ip", "link"); strings.Contains(out, "tun") {
		v.t.Errorf("the device is left:\n%s", out)
	}
	if got := m.property("campagnol", "Result"); got != "success" {
		v.t.Errorf("the end is %q", got)
	}
	m.run("systemctl", "start", "campagnol", "campagnol@office")
	m.run("apt-get", "remove", "--yes", "--quiet", "campagnol")
	if out := m.run("ip", "link"); strings.Contains(out, "tun") {
		v.t.Errorf("the devices are left:\n%s", out)
	}
	if out := m.run("find", "/etc/systemd/system", "-name", "campagnol*", "-type", "l"); out != "" {
		v.t.Errorf("services are still enabled:\n%s", out)
	}
	if out := m.run("systemctl", "list-units", "--no-legend", "--all", "campagnol*.service"); strings.Contains(out, "running") {
		v.t.Errorf("services run:\n%s", out)
	}
	m.run("apt-get", "purge", "--yes", "--quiet", "campagnol")
	if out, err := m.try("getent", "passwd", "campagnol"); err == nil {
		v.t.Errorf("the user is left: %s", out)
	}
	if m.read("/etc/campagnol.conf") == "" || m.read("/etc/campagnol/office.conf") == "" {
		v.t.Error("what people have written is gone")
	}
}
