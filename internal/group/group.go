// Package group finds the numbers of groups of the system, as configurations name them.
package group

import (
	"os/user"
	"strconv"
)

// Number returns the number of a group that is named, or given by its number, and
// whether there is one. A number needs no name on this host.
func Number(name string) (gid int, ok bool) {
	if g, err := user.LookupGroup(name); err == nil {
		name = g.Gid
	}
	n, err := strconv.ParseUint(name, 10, 31)
	return int(n), err == nil
}
