package control

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxGroups is how many groups of a user are looked at.
const maxGroups = 1 << 16 // NGROUPS_MAX

// socketCredential returns who has connected, or, for the end that connects, who
// listens.
func socketCredential(fd int) (credential, error) {
	c, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return credential{}, err
	}
	groups, err := peerGroups(fd)
	if err != nil {
		return credential{}, err
	}
	return credential{pid: int(c.Pid), uid: int(c.Uid), groups: append(groups, int(c.Gid))}, nil
}

// peerGroups returns the supplementary groups of who has connected.
func peerGroups(fd int) ([]int, error) {
	list := make([]uint32, 64)
	for {
		size := uint32(len(list) * 4)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&list[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == unix.ERANGE && len(list) < maxGroups:
			list = make([]uint32, min(max(int(size/4), 2*len(list)), maxGroups))
			continue
		case errno == unix.ENOPROTOOPT:
			return nil, nil // Linux before 4.13; the primary group has to do
		case errors.Is(errno, unix.ENODATA):
			return nil, nil
		case errno != 0:
			return nil, errno
		}
		groups := make([]int, size/4)
		for i := range groups {
			groups[i] = int(list[i])
		}
		return groups, nil
	}
}
