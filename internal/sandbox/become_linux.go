package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// Become makes the program, with all its threads, run as the account for good. It
// keeps the capabilities, and programs that it starts have them too; all others are
// gone, also for what it starts. A program that runs as the account already loses its
// other capabilities. After an error the program has to end: it may have some of its
// rights and not others.
func (a *Account) Become(keep ...Capability) error {
	kept := make([]cap.Value, len(keep))
	for i, c := range keep {
		kept[i] = [...]cap.Value{NetAdmin: cap.NET_ADMIN, NetBindService: cap.NET_BIND_SERVICE}[c]
	}
	if os.Geteuid() != a.UID {
		if os.Geteuid() != 0 {
			return &Error{Text: "only root can become the user " + a.Name, Advice: "start the program as root, or as that user"}
		}
		if err := a.change(kept); err != nil {
			return &Error{Text: "become the user " + a.Name, Err: err,
				Advice: "root lacks rights here, as in some containers (CAP_SETUID, CAP_SETGID); start the program as that user, or give it more rights"}
		}
	}
	if err := reduce(kept); err != nil {
		return &Error{Text: fmt.Sprintf("keep %v and nothing else", keep), Err: err,
			Advice: "start the program as root, or give it these rights (AmbientCapabilities= in a systemd unit)"}
	}
	return nil
}

// change changes users and groups, which leaves the permitted capabilities as they
// are.
func (a *Account) change(kept []cap.Value) error {
	if err := dropBound(kept); err != nil {
		return err
	}
	if err := cap.SetGroups(a.GID, a.groups...); err != nil {
		return fmt.Errorf("set groups: %w", err)
	}
	return cap.SetUID(a.UID)
}

// dropBound gives up what programs that are started could get. Where root may not
// even do that, no_new_privs has to do.
func dropBound(kept []cap.Value) error {
	may, err := cap.GetProc().GetFlag(cap.Effective, cap.SETPCAP)
	if err != nil || !may {
		return err
	}
	keep := map[cap.Value]bool{}
	for _, c := range kept {
		keep[c] = true
	}
	for c := range cap.MaxBits() {
		has, err := cap.GetBound(c)
		if err != nil {
			return err
		}
		if has && !keep[c] {
			if err := cap.DropBound(c); err != nil {
				return fmt.Errorf("drop %v: %w", c, err)
			}
		}
	}
	return nil
}

// reduce gives up all capabilities but kept.
func reduce(kept []cap.Value) error {
	set := cap.NewSet()
	err := set.SetFlag(cap.Permitted, true, kept...)
	if err == nil {
		err = set.SetFlag(cap.Effective, true, kept...)
	}
	if err == nil {
		err = set.SetFlag(cap.Inheritable, true, kept...)
	}
	if err == nil {
		err = set.SetProc()
	}
	if err == nil {
		err = cap.ResetAmbient()
	}
	if err == nil {
		err = cap.SetAmbient(true, kept...)
	}
	if err == nil {
		_, err = cap.Prctlw(unix.PR_SET_NO_NEW_PRIVS, 1)
	}
	return err
}

// Own gives the account a folder to write to, which is made with the given mode if it
// is missing, and the files in it that root has made. A folder of a third user stays
// as it is. Only root has something to give: for others Own does nothing.
//
// The user may have prepared the folder for us: only what cannot be anywhere else
// changes hands, that is files with one name and no links.
func (a *Account) Own(dir string, mode fs.FileMode) error {
	if os.Geteuid() != 0 {
		return nil
	}
	explain := func(err error) error {
		return &Error{Text: fmt.Sprintf("give the folder %s to the user %s", dir, a.Name), Err: err,
			Advice: "make the folder yourself, and give it to that user"}
	}
	d, err := openFolder(dir, mode)
	if err != nil {
		return explain(err)
	}
	defer d.Close()
	if err := a.takeFolder(d); err != nil {
		return explain(err)
	}
	return nil
}

// openFolder opens a folder, which is made if it is missing.
func openFolder(dir string, mode fs.FileMode) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, mode); err == nil {
		err = os.Chmod(dir, mode) // whatever the umask is
		if err != nil {
			return nil, err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0)
}

// takeFolder gives the account an open folder of root's, and what is in it.
func (a *Account) takeFolder(d *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(d.Fd()), &st); err != nil {
		return err
	}
	if st.Uid != 0 && int(st.Uid) != a.UID {
		return nil
	}
	if st.Uid == 0 && st.Mode&0o002 != 0 {
		return errors.New("everybody can write to it")
	}
	if err := d.Chown(a.UID, a.GID); err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := a.take(int(d.Fd()), name); err != nil {
			return err
		}
	}
	return nil
}

// take gives the account a file of root's in the folder dir.
func (a *Account) take(dir int, name string) error {
	// O_PATH opens nothing that could block or have an effect, such as a device.
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink != 1 || st.Uid != 0 {
		return nil
	}
	if err := unix.Fchownat(fd, "", a.UID, a.GID, unix.AT_EMPTY_PATH); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Writable returns an error unless this program may make files in the folder.
func Writable(dir string) error {
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return &os.PathError{Op: "write to", Path: dir, Err: err}
	}
	return nil
}
