package main

import (
	"errors"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/pflag"

	"campagnol/internal/audit"
	"campagnol/internal/cli"
	"campagnol/pki"
	"campagnol/pki/ca"
)

// caAuditVariable is where the audit trail of the authority goes, unless an option says
// it.
const caAuditVariable = "CAMPAGNOL_AUDIT_LOG"

func (t *caTool) auditFlag(f *pflag.FlagSet) {
	f.StringVar(&t.auditLog, "audit-log", "", "write what is issued and revoked to this `file`, or to syslog or journal\n(default $"+caAuditVariable+", or nowhere)")
}

// auditPlace returns where the audit trail goes.
func (t *caTool) auditPlace() audit.Place {
	if t.auditLog == "" {
		return audit.Place{Where: os.Getenv(caAuditVariable)}
	}
	return audit.Place{Where: t.auditLog}
}

// record tells the audit trail what a command has done, and who has.
func (t *caTool) record(records ...audit.Record) error {
	for i := range records {
		records[i].Time = t.now()
		records[i].Caller = &audit.Caller{UID: os.Getuid(), PID: os.Getpid()}
	}
	return caAuditError("ca: it is done, but not in the ", audit.Write(audit.OfAuthority, t.auditPlace(), records...))
}

// checkAudit says what is wrong with where the audit trail is to go, before anything is
// done.
func (t *caTool) checkAudit() error { return caAuditError("ca: ", t.auditPlace().Check()) }

// caAuditError returns an error of the audit trail with something before it; nil: there is
// none.
func caAuditError(before string, err error) error {
	var own interface{ Hint() string }
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own):
		return cli.WithHint(errors.New(before+err.Error()), "%s", own.Hint())
	}
	return errors.New(before + err.Error())
}

// addressTexts returns addresses as the trail has them.
func addressTexts(list []netip.Addr) (texts []string) {
	for _, a := range list {
		texts = append(texts, a.String())
	}
	return texts
}

// recordIssued tells the audit trail of a certificate.
func (t *caTool) recordIssued(out *ca.Issued) error {
	return t.record(audit.Record{Event: audit.CertificateIssued, Name: out.Name, Serial: out.Serial, Key: pki.KeyOf(out.Cert).String(),
		Addresses: addressTexts(out.Addrs), Expires: out.Cert.NotAfter})
}

// recordRevoked tells the audit trail of certificates that were revoked.
func (t *caTool) recordRevoked(gone []ca.Entry, reason string) error {
	var records []audit.Record
	for _, e := range gone {
		records = append(records, audit.Record{Event: audit.CertificateRevoked, Name: e.Name, Serial: e.Serial, Addresses: addressTexts(e.Addrs), Reason: reason})
	}
	return t.record(records...)
}

// recordInvitation tells the audit trail of an invitation that was made or withdrawn.
func (t *caTool) recordInvitation(event audit.Event, i *ca.Invitation) error {
	r := audit.Record{Event: event, Name: i.Name, Invitation: i.ID.String(), Addresses: addressTexts(i.Addrs)}
	if event == audit.InvitationMade {
		r.Expires = i.Expires.Truncate(time.Second)
	}
	return t.record(r)
}
