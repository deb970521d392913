package sandbox

import (
	"fmt"
	"os"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// system is what every program needs to read: names of hosts and users, time zones,
// libraries, and what the kernel tells.
var system = []string{"/etc", "/usr/lib", "/usr/lib64", "/usr/share", "/lib", "/lib64", "/run", "/var/run", "/proc", "/sys",
	"/dev/urandom", "/dev/log"}

// Reading is without executing: a program that is taken over can start no other.
const readRights = ll.AccessFSReadFile | ll.AccessFSReadDir

// Confine keeps the program, with all its threads and for good, to the files of
// paths, beside what every program needs; it can execute none. It reports whether the
// kernel can do that. Sockets and files that are open stay so. A path that is missing
// is left out: it stays out of reach if it appears later.
func Confine(paths Paths) (confined bool, err error) {
	if abi, err := ll.LandlockGetABIVersion(); err != nil || abi < 1 {
		return false, nil // not in this kernel, or switched off
	}
	var rules []landlock.Rule
	for _, path := range append(system, paths.Read...) {
		rules = append(rules, reading(path))
	}
	for _, path := range paths.Write {
		rules = append(rules, landlock.RWDirs(path).IgnoreIfMissing())
	}
	for _, path := range append([]string{"/dev/null"}, paths.Devices...) {
		rules = append(rules, landlock.RWFiles(path).WithIoctlDev().IgnoreIfMissing())
	}
	if err := landlock.V5.BestEffort().RestrictPaths(rules...); err != nil {
		return false, fmt.Errorf("keep to a few folders (Landlock): %w", err)
	}
	return true, nil
}

// reading returns the rule for a path that is read. The kernel wants to be told of
// files only what files can be used for.
func reading(path string) landlock.Rule {
	rights := landlock.AccessFSSet(readRights)
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		rights = ll.AccessFSReadFile
	}
	return landlock.PathAccess(rights, path).IgnoreIfMissing()
}
