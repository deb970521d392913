package ca

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"campagnol/pki"
	"campagnol/pki/enroll"
	"campagnol/pki/safefile"
)

// An InvitationState is what an invitation is worth.
type InvitationState string

// The states.
const (
	InvitationOpen      InvitationState = "open"
	InvitationUsed      InvitationState = "used"
	InvitationExpired   InvitationState = "expired"
	InvitationWithdrawn InvitationState = "withdrawn"
)

// An Invitation is a certificate that is promised to whoever has a token. It is a
// file invitations/ID.json in the CA's directory, which stays for a while after
// its end, so that the host can be told what has become of it.
type Invitation struct {
	ID      enroll.ID    `json:"-"` // the name of the file
	Name    string       `json:"name"`
	Addrs   []netip.Addr `json:"addresses"`
	Network netip.Prefix `json:"network"`
	Server  string       `json:"server"`

	Network6 netip.Prefix `json:"network6,omitzero"` // the zero Prefix: none
	Domain   string       `json:"domain,omitzero"`   // of names; "": none

	Groups []string       `json:"groups,omitempty"`
	Routes []netip.Prefix `json:"routes,omitempty"`
	Days   int            `json:"days,omitzero"`
	Renew  bool           `json:"renew,omitempty"` // the host had a certificate before

	Created   time.Time `json:"created"`
	Expires   time.Time `json:"expires"`
	Withdrawn time.Time `json:"withdrawn,omitzero"`

	// When, by which key, and what came of it. The key is written before the
	// certificate is issued: no other one gets anything any more.
	Used   time.Time `json:"used,omitzero"`
	Key    pki.KeyID `json:"key,omitzero"`
	Serial string    `json:"serial,omitempty"`

	Master enroll.Master `json:"secret"` // what the token's secret gave
	CA     pki.KeyID     `json:"ca"`     // that the token names
}

// State tells what the invitation is worth.
func (i *Invitation) State(now time.Time) InvitationState {
	switch {
	case !i.Used.IsZero():
		return InvitationUsed
	case !i.Withdrawn.IsZero():
		return InvitationWithdrawn
	case now.After(i.Expires):
		return InvitationExpired
	}
	return InvitationOpen
}

// ended returns when it ended, or will.
func (i *Invitation) ended() time.Time {
	switch {
	case !i.Used.IsZero():
		return i.Used
	case !i.Withdrawn.IsZero():
		return i.Withdrawn
	}
	return i.Expires
}

const (
	invitationsDir = "invitations"
	invitationExt  = ".json"

	// keepInvitations is how long an invitation is kept after its end.
	keepInvitations = 90 * 24 * time.Hour
)

func (c *CA) invitationFile(id enroll.ID) string {
	return filepath.Join(c.Dir, invitationsDir, id.String()+invitationExt)
}

// readInvitation reads an invitation. Its error is fs.ErrNotExist if there is
// none.
func (c *CA) readInvitation(id enroll.ID) (*Invitation, error) {
	path := c.invitationFile(id)
	data, err := safefile.Read(path, maxSmallFile)
	if err != nil {
		return nil, fmt.Errorf("ca: invitation: %w", err)
	}
	i := &Invitation{ID: id}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(i); err != nil {
		return nil, withHint(fmt.Errorf("ca: %s: not in the form of an invitation: %w", path, err), "remove the file, and invite the host again")
	}
	return i, nil
}

func (c *CA) writeInvitation(i *Invitation) error {
	if err := os.MkdirAll(filepath.Join(c.Dir, invitationsDir), 0o700); err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	return c.writeJSON(c.invitationFile(i.ID), i, 0o600)
}

// Invitations returns all invitations, the oldest first.
func (c *CA) Invitations() ([]*Invitation, error) {
	entries, err := os.ReadDir(filepath.Join(c.Dir, invitationsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("ca: invitations: %w", err)
	}
	var list []*Invitation
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), invitationExt)
		id, err := enroll.ParseID(name)
		if !ok || err != nil {
			continue
		}
		i, err := c.readInvitation(id)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was removed just now
		}
		if err != nil {
			return nil, err
		}
		list = append(list, i)
	}
	slices.SortStableFunc(list, func(a, b *Invitation) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.Name, b.Name))
	})
	return list, nil
}

// Uninvite withdraws the open invitation of a host, or that with the ID which.
func (c *CA) Uninvite(now time.Time, which string) (*Invitation, error) {
	unlock, _, err := c.begin()
	if err != nil {
		return nil, err
	}
	defer unlock()
	list, err := c.Invitations()
	if err != nil {
		return nil, err
	}
	var found *Invitation
	for _, i := range list {
		if i.ID.String() == strings.ToLower(which) || i.Name == which && (found == nil || found.State(now) != InvitationOpen) {
			found = i
		}
	}
	if found == nil {
		return nil, withHint(fmt.Errorf("ca: there is no invitation with the name or ID %q", which), "see what there is: campagnol ca invitations")
	}
	switch found.State(now) {
	case InvitationUsed:
		return nil, withHint(fmt.Errorf("ca: the invitation of %q was used on %s", found.Name, day(found.Used)),
			"to shut the host out, revoke its certificate: campagnol ca revoke %s", found.Name)
	case InvitationOpen:
		found.Withdrawn = now.UTC().Truncate(time.Second)
		return found, c.writeInvitation(found)
	}
	return nil, fmt.Errorf("ca: the invitation of %q is %s already", found.Name, found.State(now))
}

// promised checks that no open invitation promises the name or an address of r to
// somebody else.
func (c *CA) promised(now time.Time, r *Request) error {
	list, err := c.Invitations()
	if err != nil {
		return err
	}
	for _, i := range list {
		if i.State(now) != InvitationOpen || i.ID == r.invitation {
			continue
		}
		hint := "withdraw that invitation first: campagnol ca uninvite " + i.ID.String()
		if i.Name == r.Name && !r.Renew {
			return withHint(fmt.Errorf("ca: %q has an open invitation, valid until %s", i.Name, minute(i.Expires)), "%s", hint)
		}
		for _, a := range i.Addrs {
			if i.Name != r.Name && slices.Contains(r.Addrs, a) {
				return withHint(fmt.Errorf("ca: %v is promised to %q by an open invitation, valid until %s", a, i.Name, minute(i.Expires)), "%s", hint)
			}
		}
	}
	return nil
}

// minute formats a time.
func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// purge removes invitations that ended long ago.
func (c *CA) purge(now time.Time, list []*Invitation) {
	for _, i := range list {
		if now.Sub(i.ended()) > keepInvitations {
			os.Remove(c.invitationFile(i.ID)) // if not now, then next time
		}
	}
}
