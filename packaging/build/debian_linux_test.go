package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"campagnol/internal/testenv"
)

// plain are the packages of a system without systemd, beyond those that every system
// has: OpenRC, and what our package recommends.
var plain = []string{"openrc", "openssl", "ca-certificates"}

// debian makes a Debian system with some packages in a folder of the test, and returns
// that. The system itself is made once and kept in the user's cache; the folder is a layer
// above it in memory, and the test may do there what it wants.
func debian(t *testing.T, packages ...string) string {
	t.Helper()
	testenv.Root(t)
	lower := cachedDebian(t, packages)
	work := t.TempDir()
	mount := func(source, target, kind string, flags uintptr, data string) {
		t.Helper()
		err := os.MkdirAll(target, 0o755)
		if err == nil {
			err = syscall.Mount(source, target, kind, flags, data)
		}
		if err != nil {
			t.Fatalf("mount %s: %v", target, err)
		}
		t.Cleanup(func() {
			// What has held it open may be about to end: it goes as soon as it can.
			if err := syscall.Unmount(target, syscall.MNT_DETACH); err != nil {
				t.Errorf("unmount %s: %v", target, err)
			}
		})
	}
	// Not every file system can be below another layer; this one can.
	layer, dir := filepath.Join(work, "layer"), filepath.Join(work, "root")
	mount("tmpfs", layer, "tmpfs", 0, "mode=0755")
	upper, scratch := filepath.Join(layer, "upper"), filepath.Join(layer, "work")
	for _, err := range []error{
		os.Mkdir(upper, 0o755), os.Mkdir(scratch, 0o755), // of root and nobody else
		os.Chmod(work, 0o755), os.Chmod(filepath.Dir(work), 0o755), // other users live in there
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	mount("overlay", dir, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", lower, upper, scratch))
	return dir
}

// cachedDebian returns the folder of a whole system that nobody may change.
func cachedDebian(t *testing.T, packages []string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	suite, mirror := mirrorOf(t)
	key := sha256.Sum256([]byte(strings.Join(append([]string{suite, mirror}, packages...), "\n")))
	dir := filepath.Join(cache, "campagnol-test", suite+"-"+hex.EncodeToString(key[:6]))
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	// Tests of other packages may want the same at the same time.
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err == nil {
		return dir
	} else if !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	debootstrap := testenv.Tool(t, "debootstrap", "debootstrap")
	part := dir + ".part" // which becomes dir when it is whole
	if err := os.RemoveAll(part); err != nil {
		t.Fatal(err)
	}
	args := []string{"--variant=minbase", "--include=" + strings.Join(packages, ","), suite, part, mirror}
	if out, err := exec.Command(debootstrap, args...).CombinedOutput(); err != nil {
		log, _ := os.ReadFile(filepath.Join(part, "debootstrap/debootstrap.log"))
		t.Fatalf("debootstrap %q: %v\n%s%s", args, err, tail(out), tail(log))
	}
	for _, err := range []error{
		os.RemoveAll(filepath.Join(part, "var/cache/apt/archives")), // which nobody needs any more
		os.MkdirAll(filepath.Join(part, "var/cache/apt/archives/partial"), 0o755),
		os.Rename(part, dir),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// tail returns the end of what a program has said, for people.
func tail(b []byte) []byte { return b[max(0, len(b)-1500):] }
