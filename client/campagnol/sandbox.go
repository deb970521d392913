package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"

	"campagnol/conf"
	"campagnol/internal/cli"
	"campagnol/internal/control"
	"campagnol/internal/sandbox"
)

// confine gives up what the client needs no more once everything is open, if the
// configuration names a user, and then opens the control socket and the listener for metrics, as that user. After
// an error the parts are closed. n.mu is locked.
func (n *node) confine(warn func(msg, hint string)) (err error) {
	if n.cfg.User != "" {
		err = n.becomeUser(warn)
	}
	if err == nil {
		n.door, err = n.openDoor(warn)
	}
	if err == nil {
		if n.window, err = n.openWindow(warn); err != nil {
			n.door.close()
		}
	}
	if err != nil {
		n.parts.close()
		return fmt.Errorf("%s: %w", n.cfg.File, err)
	}
	return nil
}

// becomeUser goes on as the user of the configuration, with what the client still
// needs: to set up addresses and routes, and to open its socket and its device again
// when the configuration has changed.
func (n *node) becomeUser(warn func(msg, hint string)) error {
	account, err := sandbox.Lookup(n.cfg.User, n.cfg.ControlGroup)
	if err != nil {
		return fmt.Errorf("user: %w", err)
	}
	for _, f := range n.parts.writtenFolders() {
		if !f.ours() {
			continue
		}
		if err := account.Own(f.path, f.mode); err != nil {
			return fmt.Errorf("user: %w", err)
		}
	}
	if err := n.ownAudit(account); err != nil {
		return fmt.Errorf("user: %w", err)
	}
	keep := []sandbox.Capability{sandbox.NetAdmin}
	if bindsLow(n.cfg) {
		keep = append(keep, sandbox.NetBindService)
	}
	if err := account.Become(keep...); err != nil {
		return fmt.Errorf("user: %w", err)
	}
	confined := false
	if !runsCommands(n.cfg) {
		if confined, err = sandbox.Confine(n.parts.reach()); err != nil {
			return fmt.Errorf("user: %w", err)
		}
	}
	n.log.Info("Going on as the user {user} with {kept}", "user", account.Name, "kept", fmt.Sprint(keep), "landlock", confined)
	for _, f := range n.parts.writtenFolders()[:1] {
		if err := sandbox.Writable(f.path); err != nil {
			warn(fmt.Sprintf("state_dir: the user %s cannot %v", account.Name, err),
				fmt.Sprintf("nothing is remembered there now; give it to that user: chown -R %s: %s", account.Name, f.path))
		}
	}
	if folder := auditFolder(n.cfg); folder != "" {
		if err := sandbox.Writable(folder); err != nil {
			warn(fmt.Sprintf("audit_log: the user %s cannot %v", account.Name, err),
				"the log goes on in its file; when that is moved away, no other can be made. Give the folder to that user, or name one that is not there yet")
		}
	}
	for _, file := range n.unreadable() {
		warn(fmt.Sprintf("%s: the user %s cannot read it, and so not again when it changes", file, account.Name),
			fmt.Sprintf("let the user's group read it (chgrp %d %s; chmod g+r %s), and enter its folder", account.GID, file, file))
	}
	return nil
}

// bindsLow reports whether the client listens on a port that not everybody may use.
func bindsLow(cfg *conf.Client) bool {
	low := func(port uint16) bool { return port > 0 && port < firstFreePort }
	return low(cfg.LocalPort) || low(cfg.TCPPort) || low(cfg.Metrics.Port()) || cfg.DNSDomain != ""
}

// tunDriver is what a virtual interface is made by.
const tunDriver = "/dev/net/tun"

// mayReplace returns why a client that goes on as another user cannot open the socket
// and the device of a new configuration. It is asked before the old ones are closed:
// without them there would be no client any more.
func mayReplace(cfg *conf.Client, driver string) error {
	if err := canOpen(driver, os.O_RDWR); err != nil {
		return cli.WithHint(err, "start the client again; udev lets everybody open it (chmod 666 %s), which gives nobody any right", driver)
	}
	if cfg.LocalPort == 0 || cfg.LocalPort >= firstFreePort {
		return nil
	}
	if conn, err := net.ListenUDP("udp", &net.UDPAddr{Port: int(cfg.LocalPort)}); err == nil {
		conn.Close()
	} else if errors.Is(err, fs.ErrPermission) {
		return cli.WithHint(fmt.Errorf("local_port: %w", err), "start the client again, which keeps the right to use such a port then")
	}
	return nil
}

// canOpen returns why a file cannot be opened, if that is for lack of rights.
func canOpen(file string, flag int) error {
	f, err := os.OpenFile(file, flag, 0)
	if err == nil {
		f.Close()
	}
	if errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// firstFreePort is the first UDP port that everybody may use.
const firstFreePort = 1024

// defaultStateDir is the default of state_dir.
const defaultStateDir = "/var/lib/campagnol"

// A folder is one that the client writes to.
type folder struct {
	path string
	mode fs.FileMode // if it has to be made
}

// writtenFolders are the folders that the client writes to, but for those of the
// certificate.
func (p *parts) writtenFolders() []folder {
	list := []folder{{p.cfg.StateDir, 0o700}, {listFolder(p.cfg.StateDir), 0o700}}
	if door := p.doorPath(); door != "" {
		list = append(list, folder{filepath.Dir(door), 0o755}) // for the group of the socket to enter
	}
	return list
}

// ours reports whether the folder is there for clients alone, or is to be made: only
// such a folder may be given to another user. Somebody may have named /root.
func (f folder) ours() bool {
	switch f.path {
	case defaultStateDir, listFolder(defaultStateDir), control.DefaultDir():
		return true
	}
	_, err := os.Lstat(f.path)
	return errors.Is(err, fs.ErrNotExist)
}

// reach returns what a confined client reaches.
func (p *parts) reach() (reach sandbox.Paths) {
	reach.Devices = []string{tunDriver}
	for _, file := range append(trustFiles(p.cfg), p.cfg.File) {
		reach.Read = append(reach.Read, filepath.Dir(file))
	}
	if p.cfg.CACertificatesDir != "" {
		reach.Read = append(reach.Read, p.cfg.CACertificatesDir)
	}
	for _, f := range p.writtenFolders() {
		reach.Write = append(reach.Write, f.path)
	}
	if folder := auditFolder(p.cfg); folder != "" {
		reach.Write = append(reach.Write, folder)
	}
	if p.cfg.RenewCertificate {
		reach.Write = append(reach.Write, filepath.Dir(p.cfg.Certificate), filepath.Dir(p.cfg.Key))
	}
	return reach
}

// runsCommands reports whether cfg has commands for the shell, which may need
// anything.
func runsCommands(cfg *conf.Client) bool {
	return !cfg.DefaultUp && len(cfg.Up) > 0 || !cfg.DefaultDown && len(cfg.Down) > 0
}

// unreadable returns the files of the configuration that cannot be read any more.
func (n *node) unreadable() (files []string) {
	for _, file := range append(trustFiles(n.cfg), n.cfg.File) {
		if canOpen(file, os.O_RDONLY) != nil && !slices.Contains(files, file) {
			files = append(files, file)
		}
	}
	return files
}

// alive asks the client for its state, which it tells if it is not stuck.
func (n *node) alive(ctx context.Context) error {
	v := n.view.Load()
	_, err := v.client.Status(ctx)
	if n.view.Load() != v {
		return nil // another one has taken over meanwhile
	}
	return err
}
