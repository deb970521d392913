package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"campagnol/internal/cli"
	"campagnol/pki/ca"
	"campagnol/pki/safefile"
	"campagnol/rdv"
	"campagnol/rdv/channel"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// authorityOptions say where the VPN's authority is, if this program is to be it,
// too.
type authorityOptions struct {
	dir        string // of the CA; "": the authority is elsewhere
	fallback   string // dir, when the option has no value
	passphrase string // file
	grace      time.Duration

	service *ca.Service // by open
	own     bool        // the server's certificate comes from service
	last    string      // error of keep
}

// The same as for "campagnol ca".
const (
	caDirVariable = "CAMPAGNOL_CA"
	caDirDefault  = "CA"
)

func (o *authorityOptions) flags(f *pflag.FlagSet) {
	o.fallback = cmp.Or(os.Getenv(caDirVariable), caDirDefault)
	f.StringVar(&o.dir, "authority", "", "be the authority of the VPN, too, with the CA in the `DIRECTORY`, which\n\"campagnol ca init\" has made (default $"+caDirVariable+" or ./"+caDirDefault+")")
	f.Lookup("authority").NoOptDefVal = o.fallback
	f.StringVar(&o.passphrase, "passphrase-file", "", "read the pass phrase of the CA's key from the first line of `FILE`")
	f.Var(&setting{"0", o.setGrace}, "grace", "renew certificates of hosts for this `TIME` after their end, such as 30d")
	cli.MarkNew(f, "authority", "passphrase-file", "grace")
}

func (o *authorityOptions) setGrace(text string) (err error) {
	o.grace, err = ca.ParsePeriod(text)
	return err
}

// args takes the directory: to the parser an option that may do without a value has
// none in the next argument.
func (o *authorityOptions) args(cmd *cobra.Command, args []string) error {
	if o.dir != "" && o.dir == o.fallback && len(args) > 0 {
		o.dir, args = args[0], args[1:]
	}
	return cli.MaxArgs(0)(cmd, args)
}

func (o *authorityOptions) asked() bool { return o.dir != "" }

// check says what is wrong with the options, given the others.
func (o *authorityOptions) check(a *authOptions) error {
	switch {
	case !o.asked() && (o.passphrase != "" || o.grace != 0):
		return cli.WithHint(errors.New("--passphrase-file and --grace have no use without --authority"), "name the directory of the CA")
	case !o.asked():
		return nil
	case a.mode == rdv.Open.String():
		return cli.WithHint(errors.New("--authority has no use with --auth open: hosts reach the authority only where clients are authenticated"), "leave --auth out")
	case a.certificate == "" && (a.key != "" || a.ca != "" || a.caDir != ""):
		return cli.WithHint(errors.New("--key, --ca and --ca-dir have no use without --certificate"), "leave them out: with --authority the server has a certificate of that CA")
	}
	return nil
}

// open opens the CA, and makes sure that the server has a certificate.
func (o *authorityOptions) open(a *authOptions, now time.Time, daemon bool, log *slog.Logger) error {
	if !o.asked() {
		return nil
	}
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return fmt.Errorf("option --authority: %w", err)
	}
	service, err := ca.OpenService(dir, func(path string) ([]byte, error) { return o.readPassphrase(path, daemon) }, log)
	if err != nil {
		return fmt.Errorf("option --authority: %w", err)
	}
	service.RenewGrace = o.grace
	o.service = service
	if a.certificate != "" {
		return nil
	}
	files, err := service.Rendezvous(now)
	if err != nil {
		return fmt.Errorf("option --authority: %w", err)
	}
	o.own = true
	a.certificate, a.key, a.ca = files.Cert, files.Key, files.CA
	return nil
}

// readPassphrase returns the pass phrase of the CA's key.
func (o *authorityOptions) readPassphrase(path string, daemon bool) ([]byte, error) {
	if o.passphrase == "" {
		where := ""
		if daemon {
			where = " in the background"
		}
		return nil, cli.WithHint(fmt.Errorf("%s is encrypted, and the server asks nobody for the pass phrase%s", path, where),
			"put the pass phrase into a file that only root can read, and name it with --passphrase-file")
	}
	data, err := safefile.Read(o.passphrase, 1<<16)
	if err != nil {
		return nil, fmt.Errorf("option --passphrase-file: %w", err)
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), nil
}

// keep renews the server's certificate when it is due; the watch of files does the
// rest. What is wrong is said once.
func (o *authorityOptions) keep(ctx context.Context, now time.Time, log *slog.Logger) {
	if !o.own {
		return
	}
	text := ""
	if _, err := o.service.Rendezvous(now); err != nil {
		if text = err.Error(); text != o.last {
			log.ErrorContext(ctx, "The certificate of this server cannot be renewed", "err", err)
		}
	}
	o.last = text
}

// serving returns the authority for the server; nil: there is none here.
func (o *authorityOptions) serving() rdv.Authority {
	if o.service == nil {
		return nil
	}
	return localAuthority{o.service}
}

// A localAuthority is the VPN's authority in this process.
type localAuthority struct{ service *ca.Service }

// Answer answers a request of a host.
func (a localAuthority) Answer(now time.Time, from netip.AddrPort, request []byte) []byte {
	return a.service.Answer(now, from, request)
}

// Objects returns the revocation lists and the bulletin.
func (a localAuthority) Objects(now time.Time) ([]rdv.Object, error) {
	o, err := a.service.Objects(now)
	if err != nil {
		return nil, err
	}
	var out []rdv.Object
	for _, l := range o.CRLs {
		out = append(out, rdv.Object{Kind: channel.CRL, Content: l})
	}
	if o.Bulletin != nil {
		out = append(out, rdv.Object{Kind: channel.Bulletin, Content: o.Bulletin})
	}
	return out, nil
}
