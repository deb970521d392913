package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"campagnol/internal/cli"
)

// What packages install: see packaging/systemd.
const (
	serviceUser = "campagnol"          // whom the service runs as
	serviceName = "campagnol"          // the unit
	serviceDir  = "/var/lib/campagnol" // the folder that it may write to
	serviceUnit = "/usr/lib/systemd/system/campagnol.service"
)

// A joinService gives what a host gets when it joins to the service of the package, and
// starts that, at boot, too.
type joinService struct {
	wanted bool // by the option

	lookup func(name string) (*user.User, error)
	unit   string // file of the unit
	ctl    func(ctx context.Context, args ...string) error
}

func newJoinService() joinService {
	return joinService{lookup: user.Lookup, unit: serviceUnit, ctl: systemctl}
}

// systemctl runs systemctl.
func systemctl(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput()
	if text := strings.TrimSpace(string(out)); err != nil && text != "" {
		return fmt.Errorf("systemctl %s: %w: %s", args[0], err, text)
	}
	return err
}

// check makes sure, before the token is used, that there is such a service. config is
// where the configuration is to be.
func (s *joinService) check(config string) error {
	switch _, err := os.Stat(s.unit); {
	case !s.wanted:
		return nil
	case config != defaultConf:
		return cli.WithHint(errors.New("join: --service is for "+defaultConf), "docs/install.md tells how further clients are services")
	case errors.Is(err, fs.ErrNotExist):
		return cli.WithHint(fmt.Errorf("join: there is no service: %s is missing", s.unit),
			"install the package, or join without --service and start the client as this system starts others")
	}
	_, _, err := s.ids()
	return err
}

// ids returns the numbers of the service's user and of its group.
func (s *joinService) ids() (uid, gid int, err error) {
	u, err := s.lookup(serviceUser)
	if err != nil {
		return 0, 0, cli.WithHint(fmt.Errorf("join: %w", err), "packages make this user, as whom the service runs")
	}
	if uid, err = strconv.Atoi(u.Uid); err == nil {
		gid, err = strconv.Atoi(u.Gid)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("join: the user %s: %w", serviceUser, err)
	}
	return uid, gid, nil
}

// give hands the files over: those in dir to the user, who renews certificates there, and
// the configuration to the group, to be read.
func (s *joinService) give(dir, config string, files []joinFile) error {
	uid, gid, err := s.ids()
	if err != nil {
		return err
	}
	problems := []error{os.Chown(dir, uid, gid)}
	for _, f := range files {
		if filepath.Dir(f.path) == dir {
			problems = append(problems, os.Chown(f.path, uid, gid))
		}
	}
	problems = append(problems, os.Chown(config, -1, gid), os.Chmod(config, 0o640))
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("join: %w", err)
	}
	return nil
}

// start has systemd start the client, now and at boot.
func (s *joinService) start(ctx context.Context, _ string) error {
	if err := s.ctl(ctx, "enable", "--now", serviceName); err != nil {
		return cli.WithHint(err, "journalctl -u %s tells more", serviceName)
	}
	return nil
}
