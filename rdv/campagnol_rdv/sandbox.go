package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"campagnol/internal/cli"
	"campagnol/internal/sandbox"

	"github.com/spf13/pflag"
)

// userOptions say as whom the server goes on when its sockets are open.
type userOptions struct {
	name  string // "": as who has started it
	fresh bool   // the directory of --state was not there before
}

func (u *userOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&u.name, "user", "", "go on as the user `NAME`, without any right of root, once the sockets\nare open (Linux)")
	cli.MarkNew(f, "user")
}

// look sees what there is, before anything is made.
func (u *userOptions) look(a *authOptions) {
	if a.state != "" {
		_, err := os.Lstat(a.state)
		u.fresh = errors.Is(err, fs.ErrNotExist)
	}
}

// confine gives up what the server needs no more once everything is open. It opens no
// port below 1024 later, and sets up nothing: no right of root is left.
func (u *userOptions) confine(a *authOptions, trail *auditOptions, say func(account string, landlock bool), warn func(msg, hint string)) error {
	if u.name == "" {
		return nil
	}
	account, err := sandbox.Lookup(u.name)
	if err != nil {
		return fmt.Errorf("option --user: %w", err)
	}
	if u.fresh {
		if err := account.Own(a.state, 0o700); err != nil {
			return fmt.Errorf("option --user: %w", err)
		}
	}
	if err := trail.own(account); err != nil {
		return fmt.Errorf("option --user: %w", err)
	}
	if err := account.Become(); err != nil {
		return fmt.Errorf("option --user: %w", err)
	}
	for _, dir := range a.written() {
		if err := sandbox.Writable(dir); err != nil {
			return cli.WithHint(fmt.Errorf("option --user: %w", err), "give the directory, with all that is in it, to that user: chown -R %s: %s", account.Name, dir)
		}
	}
	reach := a.reach()
	if folder := trail.folder(); folder != "" {
		reach.Write = append(reach.Write, folder)
		if err := sandbox.Writable(folder); err != nil {
			warn(fmt.Sprintf("the folder of the audit log: the user %s cannot %v", account.Name, err),
				"the log goes on in its file; when that is moved away, no other can be made. Give the folder to that user, or name one that is not there yet")
		}
	}
	confined, err := sandbox.Confine(reach)
	if err != nil {
		return fmt.Errorf("option --user: %w", err)
	}
	for _, file := range a.files() {
		if f, err := os.Open(file); err == nil {
			f.Close()
		} else if errors.Is(err, fs.ErrPermission) {
			warn(fmt.Sprintf("%s: the user %s cannot read it, and so not again when it changes", file, account.Name),
				fmt.Sprintf("let the user's group read it (chgrp %d %s; chmod g+r %s), and enter its folder", account.GID, file, file))
		}
	}
	say(account.Name, confined)
	return nil
}

// written are the directories that the server writes to.
func (a *authOptions) written() (dirs []string) {
	if a.state != "" {
		dirs = append(dirs, a.state)
	}
	if a.authority.asked() {
		dirs = append(dirs, a.authority.dir)
	}
	return dirs
}

// reach returns what a confined server reaches.
func (a *authOptions) reach() sandbox.Paths {
	reach := sandbox.Paths{Write: a.written()}
	for _, file := range a.files() {
		if info, err := os.Stat(file); err == nil && info.IsDir() {
			reach.Read = append(reach.Read, file)
		} else {
			reach.Read = append(reach.Read, filepath.Dir(file))
		}
	}
	return reach
}
