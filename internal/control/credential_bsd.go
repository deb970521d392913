//go:build darwin || freebsd

package control

import "golang.org/x/sys/unix"

// solLocal is the level of options of unix sockets, which FreeBSD's header has
// without a name that can be used.
const solLocal = 0

// socketCredential returns who has connected.
func socketCredential(fd int) (credential, error) {
	c, err := unix.GetsockoptXucred(fd, solLocal, unix.LOCAL_PEERCRED)
	if err != nil {
		return credential{}, err
	}
	who := credential{uid: int(c.Uid)}
	for _, g := range c.Groups[:max(0, min(int(c.Ngroups), len(c.Groups)))] {
		who.groups = append(who.groups, int(g))
	}
	return who, nil
}
