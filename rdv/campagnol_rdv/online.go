package main

import (
	"fmt"
	"log/slog"

	"campagnol/internal/cli"
	"campagnol/pki/ocsp"
	"campagnol/rdv"

	"github.com/spf13/pflag"
)

// onlineOptions say what the responders of clients' certificates decide.
type onlineOptions struct {
	text string // of the option

	// responders outlives trusts, so that what they have said is known after the
	// files were read again; made by the first.
	responders *ocsp.Checker
}

func (o *onlineOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.text, "ocsp", "no", "ask the responders of clients' certificates whether they were revoked: `no|yes|require`")
	cli.MarkNew(f, "ocsp")
}

// asked reports whether the option asks for something.
func (o *onlineOptions) asked() bool { return o.text != "" && o.text != ocsp.Off.String() }

// check says what is wrong with the option.
func (o *onlineOptions) check() error {
	if !o.asked() {
		return nil
	}
	if _, err := ocsp.ParseMode(o.text); err != nil {
		return cli.WithHint(fmt.Errorf("option --ocsp: %w", err), "yes refuses who is revoked, require also those about whom there is no answer")
	}
	return nil
}

// with returns trust with what the responders say.
func (o *onlineOptions) with(trust *rdv.Trust, log *slog.Logger) *rdv.Trust {
	mode, err := ocsp.ParseMode(o.text)
	if err != nil || mode == ocsp.Off { // check has refused what is no mode
		return trust
	}
	if o.responders == nil {
		o.responders = ocsp.NewChecker(ocsp.Config{Log: log})
	}
	return trust.WithOnline(ocsp.Judge{Checker: o.responders, Mode: mode})
}
