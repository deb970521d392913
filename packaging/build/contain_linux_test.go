package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"campagnol/internal/testenv"
)

// contain gives the system processes of its own, from its first one on, which does
// nothing but look after orphans: what is started in the background there ends with the
// test. Programs that the test runs from then on are among them, in the network of its
// host.
func (r *root) contain() {
	t := r.t
	t.Helper()
	unshare := testenv.Tool(t, "unshare", "util-linux")
	nsenter := testenv.Tool(t, "nsenter", "util-linux")
	const first = `mount -t proc proc /proc && mount -t tmpfs -o mode=0755 tmpfs /run && echo "first process" && while :; do sleep 0.1; done`
	p, err := r.host.Start("first", unshare, "--pid", "--mount", "--ipc", "--uts", "--fork", "--kill-child", "--", "chroot", r.dir, "/bin/sh", "-c", first)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Signal(syscall.SIGKILL)
		p.Wait(context.Background())
	})
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(p.Tail(), "first process"); {
		if time.Now().After(deadline) {
			t.Fatalf("it does not begin: %s", p.Tail())
		}
		time.Sleep(10 * time.Millisecond)
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", p.PID(), p.PID()))
	if err != nil {
		t.Fatal(err)
	}
	pid := strings.TrimSpace(string(children))
	if _, err := strconv.Atoi(pid); err != nil {
		t.Fatalf("its children are %q", pid)
	}
	r.enter = []string{nsenter, "--target=" + pid, "--all", "--root", "--wdns=/", "--"}
}
