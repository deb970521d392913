package main

import (
	"path/filepath"
	"time"

	"campagnol/internal/audit"
	"campagnol/internal/cli"
	"campagnol/internal/sandbox"
	"campagnol/internal/service"
	"campagnol/pki"
	"campagnol/pki/policy"
	"campagnol/rdv"

	"github.com/spf13/pflag"
)

// auditOptions say where the audit trail goes.
type auditOptions struct {
	where string
	trail *audit.Trail // by open
	fresh bool         // the folder was not there before

	state *audit.State // that trail knows of; nil: of none yet
}

func (o *auditOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.where, "audit-log", "", "write who is let in and who is not to the `FILE`, or to syslog or journal\n(docs/audit.md)")
	cli.MarkNew(f, "audit-log")
}

// open begins the audit trail, before there is anything to tell.
func (o *auditOptions) open(group string, s *service.Starting) error {
	o.trail = s.Audit
	place := audit.Place{Where: o.where, Group: group}
	o.fresh = place.NewFolder()
	return o.trail.Open(place, s.Log)
}

// folder returns the folder that the trail is written to; "": there is none.
func (o *auditOptions) folder() string {
	if file := (audit.Place{Where: o.where}).File(); file != "" {
		return filepath.Dir(file)
	}
	return ""
}

// notify returns what tells the trail of events of the server.
func (o *auditOptions) notify() func(time.Time, rdv.Event) {
	return func(now time.Time, e rdv.Event) {
		if r, ok := auditRecord(now, e); ok {
			o.trail.Record(r)
		}
	}
}

// trusts tells the trail what the server trusts from now on. At the start that is not
// worth a word.
func (o *auditOptions) trusts(now time.Time, id *pki.Identity, trusted *pki.Policy, rules *policy.Policy) {
	if o == nil {
		return
	}
	next := &audit.State{Serial: pki.SerialOf(id.Chain[0]), Expires: id.Chain[0].NotAfter, Lists: map[string]string{}}
	for _, r := range trusted.Revocations(now) {
		next.Lists[r.Issuer] = r.Number
	}
	if rules != nil {
		next.Policy = rules.ID().String() + " in " + rules.Name()
	}
	if o.state != nil {
		for _, r := range next.Changes(o.state) {
			o.trail.Record(r)
		}
	}
	o.state = next
}

// own gives the folder to the user that the server goes on as, if it is ours to give.
func (o *auditOptions) own(account *sandbox.Account) error {
	if folder := o.folder(); folder != "" && (o.fresh || folder == audit.DefaultFolder) {
		return account.Own(folder, audit.FolderMode)
	}
	return nil
}

// auditRecord returns what the trail says of an event of the server, and whether it says
// anything.
func auditRecord(now time.Time, e rdv.Event) (audit.Record, bool) {
	r := audit.Record{Time: now, Name: e.Name, Serial: e.Serial, VPNAddr: e.VPN, Peer: e.Peer, Code: e.Code, Reason: e.Why}
	if e.Key != (pki.KeyID{}) {
		r.Key = e.Key.String()
	}
	if at, ok := e.Address(); ok {
		r.From = at
	}
	switch e.Kind {
	case rdv.ClientAdded:
		r.Event = audit.ClientRegistered
	case rdv.Moved:
		r.Event = audit.ClientMoved
	case rdv.ClientRemoved:
		r.Event = audit.ClientRemoved
	case rdv.TableFull, rdv.Refused, rdv.Denied:
		r.Event, r.Outcome = audit.RegistrationRefused, audit.Refused
		if e.Code == "rdv_taken" {
			r.Event = audit.AddressConflict
		}
	case rdv.Conflict:
		r.Event, r.Outcome = audit.AddressConflict, audit.Refused
	case rdv.Downgraded:
		r.Event, r.Outcome, r.Reason = audit.AddressConflict, audit.Refused, "it asks without a certificate for an address of one who has one"
	case rdv.ChannelOpened:
		r.Event = audit.ChannelOpened
	case rdv.ChannelClosed:
		r.Event = audit.ChannelClosed
	case rdv.HandshakeFailed:
		r.Event, r.Outcome = audit.HandshakeRefused, audit.Refused
	case rdv.Distrusted:
		r.Event = audit.ClientCut
	case rdv.Forbidden:
		r.Event, r.Outcome = audit.IntroductionRefused, audit.Refused
	case rdv.NotRelayed:
		r.Event, r.Outcome = audit.RelayRefused, audit.Refused
	case rdv.AuthorityHere:
		r.Event = audit.AuthorityHere
	case rdv.AuthorityGone:
		r.Event = audit.AuthorityGone
	case rdv.ObjectLost:
		r.Event, r.Outcome = audit.ObjectRefused, audit.Failed
	default:
		return audit.Record{}, false
	}
	return r, true
}
