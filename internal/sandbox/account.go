package sandbox

import (
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strconv"

	"campagnol/internal/group"
)

// An Account is the user, with groups, that a program goes on as.
type Account struct {
	Name     string
	UID, GID int
	groups   []int // beside GID
}

// Lookup finds the user of that name or number. Beside the user's own groups the
// account has those of the names in more; empty ones do not count.
func Lookup(name string, more ...string) (*Account, error) {
	u, err := user.Lookup(name)
	if err != nil {
		var byNumber error
		if u, byNumber = user.LookupId(name); byNumber != nil {
			return nil, &Error{Text: fmt.Sprintf("there is no user %q on this host", name),
				Advice: "make one: useradd --system --no-create-home --shell /usr/sbin/nologin " + safeName(name)}
		}
	}
	a := &Account{Name: u.Username}
	if a.UID, err = strconv.Atoi(u.Uid); err == nil {
		a.GID, err = strconv.Atoi(u.Gid)
	}
	if err != nil {
		return nil, fmt.Errorf("the user %s: %w", name, errors.ErrUnsupported) // numbers are not those of Unix
	}
	if a.UID == 0 {
		return nil, &Error{Text: fmt.Sprintf("the user %s has all rights", name),
			Advice: "name an ordinary user, or none, to go on as root"}
	}
	ids, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("the groups of the user %s: %w", name, err)
	}
	for _, name := range more {
		if name == "" {
			continue
		}
		gid, ok := group.Number(name)
		if !ok {
			return nil, &Error{Text: fmt.Sprintf("there is no group %q on this host", name), Advice: "name a group that exists"}
		}
		ids = append(ids, strconv.Itoa(gid))
	}
	for _, id := range ids {
		gid, err := strconv.Atoi(id)
		if err != nil {
			return nil, fmt.Errorf("the groups of the user %s: %w", a.Name, err)
		}
		if gid != a.GID && !slices.Contains(a.groups, gid) {
			a.groups = append(a.groups, gid)
		}
	}
	return a, nil
}

// safeName returns name, or a name that is safe to have in a command to copy.
func safeName(name string) string {
	for i, c := range name {
		if !(c >= 'a' && c <= 'z' || c == '_' || i > 0 && (c >= '0' && c <= '9' || c == '-')) {
			return "campagnol"
		}
	}
	if name == "" || len(name) > 32 {
		return "campagnol"
	}
	return name
}
