package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/internal/audit"
	"campagnol/internal/cli"
	"campagnol/internal/control"
	"campagnol/internal/sandbox"
	"campagnol/internal/service"
	"campagnol/pki"
)

// auditPlace returns where the audit trail of a configuration goes.
func auditPlace(cfg *conf.Client) audit.Place {
	return audit.Place{Where: cfg.AuditLog, Group: cfg.ControlGroup}
}

// openAudit begins the audit trail of a configuration, before there is anything to tell.
func (n *node) openAudit(s *service.Starting, cfg *conf.Client) error {
	n.trail = s.Audit
	n.auditFresh = auditPlace(cfg).NewFolder()
	return namesKey(n.trail.Open(auditPlace(cfg), s.Log), cfg)
}

// namesKey says with an error of the audit trail where in the configuration it is.
func namesKey(err error, cfg *conf.Client) error {
	var e *audit.Error
	if !errors.As(err, &e) {
		return err
	}
	return cli.WithHint(errors.New(cfg.File+": audit_log: "+e.Error()), "%s", e.Hint())
}

// moveAudit writes the audit trail to where a configuration that has changed has it. If
// that cannot be, it goes on where it is. n.mu is locked.
func (n *node) moveAudit(old, cfg *conf.Client) {
	if auditPlace(old) == auditPlace(cfg) {
		return
	}
	if err := namesKey(n.trail.Open(auditPlace(cfg), n.log), cfg); err != nil {
		n.log.Error("The audit log cannot be where the new configuration has it; it stays where it was", "err", err, "hint", cli.Hints(err))
	}
}

// auditFolder returns the folder of the audit trail of a configuration; "": it has none.
func auditFolder(cfg *conf.Client) string {
	if file := auditPlace(cfg).File(); file != "" {
		return filepath.Dir(file)
	}
	return ""
}

// ownAudit gives the folder of the audit trail to the user that the client goes on as, if
// it is ours to give.
func (n *node) ownAudit(account *sandbox.Account) error {
	if folder := auditFolder(n.cfg); folder != "" && (n.auditFresh || folder == audit.DefaultFolder) {
		return account.Own(folder, audit.FolderMode)
	}
	return nil
}

// auditForgotten tells the trail of a configuration what a command has forgotten, and who
// has asked for it.
func auditForgotten(cfg *conf.Client, records ...audit.Record) error {
	for i := range records {
		records[i].Caller = &audit.Caller{UID: os.Getuid(), PID: os.Getpid()}
	}
	if err := namesKey(audit.Write(audit.OfClient, auditPlace(cfg), records...), cfg); err != nil {
		return fmt.Errorf("forget: it is done, but not in the audit log: %w", err)
	}
	return nil
}

// auditCommand tells the trail of a request for a change by the control socket.
func (n *node) auditCommand(c control.Command) { n.trail.Record(c.Audit()) }

// auditReload tells the trail that the configuration was read again.
func (n *node) auditReload(now time.Time, err error) {
	r := audit.Record{Time: now, Event: audit.Reloaded}
	if err != nil {
		r.Outcome, r.Reason = audit.Failed, err.Error()
	}
	n.trail.Record(r)
}

// auditTrust tells the trail what counts from now on. At the start that is not worth a
// word. n.mu is locked.
func (n *node) auditTrust(now time.Time, t *trust) {
	next := t.auditState(now)
	if n.auditState != nil {
		for _, r := range next.Changes(n.auditState) {
			r.Time = now
			n.trail.Record(r)
		}
	}
	n.auditState = next
}

// auditState returns what t goes by.
func (t *trust) auditState(now time.Time) *audit.State {
	leaf := t.identity.Chain[0]
	s := &audit.State{Serial: pki.SerialOf(leaf), Expires: leaf.NotAfter, Lists: map[string]string{}}
	for _, r := range t.policy.Revocations(now) {
		s.Lists[r.Issuer] = r.Number
	}
	if t.bulletin != nil {
		s.Bulletin = strconv.FormatUint(t.bulletin.Number, 10)
	}
	if t.rules != nil {
		s.Policy = t.rules.ID().String() + " in " + t.rules.Name()
	}
	trail := t.bulletins.current()
	for _, c := range trail.Added() {
		s.Trusted = append(s.Trusted, pki.PeerOf(c).Name)
	}
	for _, c := range trail.Retired() {
		s.Retired = append(s.Retired, pki.PeerOf(c).Name)
	}
	return s
}

// watchPins tells the trail of keys that get an address.
func (n *node) watchPins(t *trust) {
	t.pins.Watch(func(before *pki.Pin, now pki.Pin) {
		r := audit.Record{Event: audit.PinMade, VPNAddr: now.Addr, Key: now.Key.String(), Name: now.Name}
		if before != nil {
			r.Event, r.Reason = audit.PinChanged, "it belonged to key "+before.Key.String()+" of "+strconv.Quote(before.Name)
		}
		n.trail.Record(r)
	})
}

// blame adds to a record about a refusal which certificate is to blame.
func blame(r *audit.Record, err error) {
	var refusal *pki.Refusal
	var claim *client.ClaimError
	var role *roleError
	switch {
	case errors.As(err, &refusal):
		r.Name, r.Serial, r.Authority = strings.TrimPrefix(refusal.Subject, "CN="), refusal.Serial, refusal.Issuer
	case errors.As(err, &claim):
		r.Name = claim.Name
	case errors.As(err, &role):
		r.Name = role.name
	}
}

// auditRecord returns what the trail says of an event of the client, and whether it says
// anything.
func auditRecord(now time.Time, e *client.Event) (audit.Record, bool) {
	r := audit.Record{
		Time: now, Name: e.Name, Serial: e.Serial, VPNAddr: e.VPNAddr, From: e.Addr,
		Code: e.Code, Reason: e.Reason, Count: e.Count,
	}
	if e.Key != [32]byte{} {
		r.Key = pki.KeyID(e.Key).String()
	}
	switch e.Kind {
	case client.EventRegistered:
		r.Event = audit.Registered
	case client.EventUnregistered:
		r.Event, r.Outcome = audit.Unregistered, audit.Failed
	case client.EventOpened:
		r.Event = audit.TunnelOpened
	case client.EventClosed:
		r.Event = audit.TunnelClosed
		if e.Code != "" {
			r.Event = audit.TunnelCut
		}
	case client.EventRefused:
		r.Event, r.Outcome = audit.PeerRefused, audit.Refused
		if !e.VPNAddr.IsValid() {
			r.Event = audit.ServerRefused
		}
		blame(&r, e.Err)
	case client.EventSpoofed:
		r.Event, r.Outcome = audit.SourceSpoofed, audit.Refused
	case client.EventFiltered:
		r.Event, r.Outcome, r.Direction = audit.PacketsRefused, audit.Refused, "in"
		if e.Out {
			r.Direction = "out"
		}
	default:
		return audit.Record{}, false
	}
	return r, true
}
