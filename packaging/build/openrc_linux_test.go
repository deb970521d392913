package main

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"campagnol/internal/testenv/guide"
)

// TestOpenRC has OpenRC itself run the scripts, as the document says: they start and stop
// the programs, with the files that they promise, and again after a crash and after a
// configuration that is wrong has been put right.
func TestOpenRC(t *testing.T) {
	g := guide.Open(t, "docs/install.md", "OpenRC")
	b, tree := treeForTests(t)
	r := newRoot(t)
	r.originalFiles()
	r.contain()
	deb, err := b.pack(tree, "deb")
	if err != nil {
		t.Fatal(err)
	}
	r.run("dpkg", "-i", r.put(deb))
	r.run("sh", "-c", "cp /usr/share/doc/campagnol/examples/openrc/* /etc/init.d/ && ln -s campagnol /etc/init.d/campagnol.home")
	r.write("/etc/conf.d/campagnol_rdv", `campagnol_rdv_options="--user campagnol -v"`+"\n", 0o644)
	for _, file := range []string{"/etc/campagnol.conf", "/etc/campagnol/home.conf"} {
		r.write(file, originalConfiguration+"[CLIENT]\nuser = campagnol\n", 0o640)
		r.run("chgrp", "campagnol", file)
	}
	// The services need a network, which the laboratory has set up here.
	r.write("/etc/init.d/network", "#!/sbin/openrc-run\ndepend() {\n\tprovide net\n}\nstart() {\n\t:\n}\n", 0o755)
	r.run("sh", "-c", "mkdir -p /run/openrc && touch /run/openrc/softlevel && openrc default")

	for c := range g.Commands() {
		r.run("sh", "-c", c.Line)
		r.awaitLog("campagnol", "Starting VPN", 1) // OpenRC does not wait for it
	}
	if out := r.run("rc-update", "show", "default"); !strings.Contains(out, "campagnol") {
		t.Errorf("it is not started at boot: %s", out)
	}
	r.awaitLog("campagnol", "reloading the configuration...", 1)
	r.run("rc-service", "campagnol_rdv", "start")
	r.wantUser("campagnol", "/usr/sbin/campagnol /etc/campagnol.conf")
	r.wantUser("campagnol", "/usr/sbin/campagnol_rdv --user campagnol -v")
	r.awaitLog("campagnol_rdv", "Adding new client", 1)
	r.run("rc-service", "campagnol_rdv", "reload")

	r.wantRespawn()
	r.wantDevices(1)
	for _, service := range []string{"campagnol", "campagnol_rdv", "campagnol.home"} { // the last one in the place of the first
		r.run("rc-service", service, "start") // nothing, if it has been
		if out := r.run("rc-service", service, "status"); !strings.Contains(out, "started") {
			t.Errorf("%s: %s", service, out)
		}
		if service == "campagnol.home" {
			r.wantUser("campagnol", "/usr/sbin/campagnol /etc/campagnol/home.conf")
		}
		r.run("rc-service", service, "stop")
		if out, err := r.try("rc-service", service, "status"); err == nil || !strings.Contains(out, "stopped") {
			t.Errorf("%s, after its end: %v, %s", service, err, out)
		}
	}
	r.wantDevices(0)
	if out := r.run("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"); strings.Contains(out, "sbin/campagnol") {
		t.Errorf("programs are left: %s", out)
	}
}

// wantRespawn checks that a client is there again after a crash, and that one with a
// configuration that is wrong says so and starts when it has been put right.
func (r *root) wantRespawn() {
	r.t.Helper()
	const program = "/usr/sbin/campagnol /etc/campagnol.conf"
	before := r.processOf(program)
	r.run("sh", "-c", "kill -KILL "+before)
	r.await("it runs again after a crash", func() error {
		if now := r.processOf(program); now == "" || now == before {
			return fmt.Errorf("its process is %q, after %s", now, before)
		}
		return nil
	})
	r.awaitLog("campagnol", "Starting VPN", 2)
	good := r.read("/etc/campagnol.conf")
	r.write("/etc/campagnol.conf", strings.Replace(good, "vpn_ip = 10.9.0.1", "vpn_ip = nonsense", 1), 0o640)
	r.run("rc-service", "campagnol", "restart")
	r.awaitLog("campagnol", `vpn_ip "nonsense" is not an`, 1)
	r.wantDevices(0)
	r.write("/etc/campagnol.conf", good, 0o640)
	r.await("it runs with the configuration put right", func() error {
		if r.processOf(program) == "" {
			return errors.New("no process")
		}
		return nil
	})
	r.awaitLog("campagnol", "Starting VPN", 3)
}

// await waits until a condition holds.
func (r *root) await(what string, holds func() error) {
	r.t.Helper()
	err := holds()
	for deadline := time.Now().Add(time.Minute); err != nil; err = holds() {
		if time.Now().After(deadline) {
			r.t.Fatalf("not in time: %s: %v", what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// awaitLog waits until the log of a service has a text some times.
func (r *root) awaitLog(service, text string, times int) {
	r.t.Helper()
	r.await(fmt.Sprintf("%q in the log of %s", text, service), func() error {
		out, err := r.try("cat", "/var/log/"+service+".log")
		if err == nil && strings.Count(out, text) < times {
			err = errors.New("it is not there")
		}
		if err != nil {
			return fmt.Errorf("%w:\n%s", err, out)
		}
		return nil
	})
}

// processOf returns the process with a command line; "" if there is none.
func (r *root) processOf(line string) string {
	r.t.Helper()
	out := r.run("sh", "-c", `for p in /proc/[0-9]*; do echo "${p#/proc/} $(tr '\0' ' ' <"$p/cmdline")"; done 2>/dev/null`)
	for entry := range strings.Lines(out) {
		if pid, command, _ := strings.Cut(strings.TrimSpace(entry), " "); command == line {
			return pid
		}
	}
	return ""
}

// wantUser checks that a program runs as a user.
func (r *root) wantUser(name, line string) {
	r.t.Helper()
	uid, _ := r.user(name)
	r.await(line+" runs as "+name, func() error {
		out, err := r.try("cat", "/proc/"+r.processOf(line)+"/status")
		if want := fmt.Sprintf("Uid:\t%d\t%[1]d\t%[1]d\t%[1]d\n", uid); err == nil && !strings.Contains(out, want) {
			err = fmt.Errorf("want %q", want)
		}
		if err != nil {
			return fmt.Errorf("%w:\n%s", err, out)
		}
		return nil
	})
}

// wantDevices waits until there are so many virtual interfaces.
func (r *root) wantDevices(want int) {
	r.t.Helper()
	r.await(fmt.Sprintf("%d virtual interfaces", want), func() error {
		return r.host.Do(func() error {
			all, err := net.Interfaces()
			if err != nil {
				return err
			}
			got := 0
			for _, i := range all {
				if strings.HasPrefix(i.Name, "tun") {
					got++
				}
			}
			if got != want {
				return fmt.Errorf("there are %d of %v", got, all)
			}
			return nil
		})
	})
}
