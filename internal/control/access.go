package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
	"syscall"

	"campagnol/internal/group"
)

// A credential is who is at the other end of a connection.
type credential struct {
	pid    int // 0: not known
	uid    int
	groups []int
}

// admits returns why who may not ask. gid is that of the group that may, or -1.
func admits(who credential, gid int) error {
	if who.uid == 0 || who.uid == os.Geteuid() || gid >= 0 && slices.Contains(who.groups, gid) {
		return nil
	}
	name := strconv.Itoa(who.uid)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	return fmt.Errorf("the user %s may not use this control socket", name)
}

// credentialOf returns who is at the other end of a connection. Where the system
// does not tell, the error is errors.ErrUnsupported.
func credentialOf(conn net.Conn) (who credential, err error) {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return who, errors.ErrUnsupported
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return who, err
	}
	cerr := raw.Control(func(fd uintptr) { who, err = socketCredential(int(fd)) })
	if err == nil {
		err = cerr
	}
	if err != nil {
		return who, fmt.Errorf("who has connected cannot be found out: %w", err)
	}
	return who, nil
}

// lookupGroup returns the number of a group, and -1 for no name.
func lookupGroup(name string) (int, error) {
	if name == "" {
		return -1, nil
	}
	gid, ok := group.Number(name)
	if !ok {
		return -1, &Error{Text: fmt.Sprintf("control socket: there is no group %q on this host", name),
			Advice: "give control_group the name of a group that exists, or take the line out"}
	}
	return gid, nil
}

// whoMay says who may use the socket at path.
func whoMay(path string) string {
	const alone = "only root and the user that runs the client may; become root, or set control_group in its configuration"
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Perm()&0o020 == 0 {
		return alone
	}
	gid, ok := groupOf(info)
	if !ok {
		return alone
	}
	name := strconv.Itoa(gid)
	if g, err := user.LookupGroupId(name); err == nil {
		name = g.Name
	}
	return fmt.Sprintf("only root, the user that runs the client, and the members of the group %s may; become one of them", name)
}
