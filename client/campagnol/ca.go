package main

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"campagnol/internal/cli"
	"campagnol/pki/ca"
	"campagnol/pki/safefile"
)

// newCACommand returns the command "campagnol ca".
func newCACommand() *cobra.Command { return caCommand(time.Now, caAskTerminal) }

// caTool is what the subcommands of "campagnol ca" share.
type caTool struct {
	now func() time.Time
	ask func(prompt string) ([]byte, error) // a pass phrase

	dir        string
	files      ca.Files
	passphrase string // file
	auditLog   string // where the audit trail goes
}

const (
	caDirVariable = "CAMPAGNOL_CA"
	caDirDefault  = "CA" // where the script of Campagnol 0.3.5 made its CA
	caRSABits     = 3072 // bits, for --rsa without a number
	caEtc         = "/etc/campagnol/"
)

const caHelp = `Make and keep the certificate authority (CA) of a VPN: the certificates that let
hosts in, and the list of those that are not let in any more.

The CA is a directory: that of --dir, or of the environment variable
CAMPAGNOL_CA, or ./CA. Keep it on one computer, best on none of the VPN, and
make backups: who has its private key decides who is in the VPN.

CAs of Campagnol 0.3.5's ca_wrap.sh, of "openssl ca" and of easy-rsa are opened
as they are. If the parts of yours have other names, say them with --ca-cert,
--ca-key and the other options of files.`

const caExample = `  campagnol ca init
  campagnol ca issue alice --ip 10.9.0.1
  campagnol ca sign bob.csr --ip 10.9.0.2
  campagnol ca invite carol
  campagnol ca serve -D
  campagnol ca revoke alice
  campagnol ca list`

// caCommand returns the command, given the clock and who is asked for pass
// phrases.
func caCommand(now func() time.Time, ask func(string) ([]byte, error)) *cobra.Command {
	t := &caTool{now: now, ask: ask}
	cmd := &cobra.Command{
		Use:           "ca",
		Short:         "Make and keep the certificates of a VPN",
		Long:          caHelp,
		Example:       caExample,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			t.dir = cmp.Or(t.dir, os.Getenv(caDirVariable), caDirDefault)
			return t.checkAudit()
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return caUsage(c, err) })
	flags := cmd.PersistentFlags()
	flags.StringVar(&t.dir, "dir", "", "`directory` of the CA (default $"+caDirVariable+" or ./"+caDirDefault+")")
	flags.StringVar(&t.passphrase, "passphrase-file", "", "read the pass phrase of the CA's key from the first line of this `file`")
	t.auditFlag(flags)
	for _, f := range []struct {
		field       *string
		name, usage string
	}{
		{&t.files.Cert, "ca-cert", "certificate of the CA, if it has an unusual `name`"},
		{&t.files.Key, "ca-key", "private key of the CA, if it has an unusual `name`"},
		{&t.files.Root, "root", "certificate `file` of the root, if the CA is an intermediate one"},
		{&t.files.Index, "index", "table of certificates (index.txt), if it has an unusual `name`"},
		{&t.files.Certs, "certs", "`directory` of the certificates issued, if it has an unusual name"},
		{&t.files.Serial, "serial", "file with the next serial number, if it has an unusual `name`"},
		{&t.files.CRLNumber, "crl-number", "file with the number of the next revocation list, if it has an unusual `name`"},
		{&t.files.CRL, "crl-file", "revocation list, if it has an unusual `name`"},
	} {
		flags.StringVar(f.field, f.name, "", f.usage)
	}
	for _, sub := range append([]*cobra.Command{t.initCommand(), t.issueCommand(), t.signCommand(), t.revokeCommand(), t.crlCommand(), t.listCommand(), t.showCommand()}, t.enrolmentCommands()...) {
		sub.SilenceUsage, sub.SilenceErrors = true, true
		cmd.AddCommand(sub)
	}
	return cmd
}

// caUsage adds to an error where the options of a command are listed.
func caUsage(c *cobra.Command, err error) error {
	return cli.WithHint(fmt.Errorf("ca: %w", err), "%q explains the command", c.CommandPath()+" --help")
}

// caOneArg lets a command take exactly one argument, called what.
func caOneArg(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return caUsage(c, fmt.Errorf("%s is missing", what))
		case len(args) > 1:
			return caUsage(c, fmt.Errorf("one argument too many: %q", args[1]))
		}
		return nil
	}
}

// open opens the CA.
func (t *caTool) open() (*ca.CA, error) {
	c, err := ca.Open(t.dir, t.files)
	if err != nil {
		return nil, err
	}
	c.Passphrase = func(path string) ([]byte, error) {
		if t.passphrase != "" {
			return caReadPassphrase(t.passphrase)
		}
		return t.ask("Pass phrase of " + path + ": ")
	}
	return c, nil
}

// caReadPassphrase returns the first line of a file.
func caReadPassphrase(path string) ([]byte, error) {
	data, err := safefile.Read(path, 1<<16)
	if err != nil {
		return nil, fmt.Errorf("ca: pass phrase: %w", err)
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), nil
}

// caAskTerminal asks for a pass phrase on the terminal, even when input and
// output are redirected.
func caAskTerminal(prompt string) ([]byte, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, cli.WithHint(errors.New("there is no terminal to ask for the pass phrase"), "put it into a file and name that with --passphrase-file")
	}
	defer tty.Close()
	fmt.Fprint(tty, prompt)
	pass, err := term.ReadPassword(int(tty.Fd()))
	fmt.Fprintln(tty)
	return pass, err
}

func (t *caTool) initCommand() *cobra.Command {
	var opts ca.InitOptions
	var encrypt bool
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a new CA",
		Long: `Make a new CA: a key, a certificate, an empty revocation list. Nothing that
exists is ever overwritten.

Without --encrypt the private key is protected by nothing but the permissions of
its file. With it every use of the CA asks for the pass phrase.`,
		Example: "  campagnol ca init\n  campagnol ca init --rdv rdv.example.org --network 10.9.0.0/24 --network6 fd09::/64\n  campagnol ca init --dir /root/vpn-ca --name \"VPN of Example Ltd\" --encrypt",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if encrypt || t.passphrase != "" {
				if opts.Passphrase, err = t.newPassphrase(); err != nil {
					return err
				}
			}
			if t.files != (ca.Files{}) {
				return caUsage(cmd, errors.New("a new CA has the usual names; only --dir can be chosen"))
			}
			c, err := ca.Init(t.dir, opts, t.now(), rand.Reader)
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			fmt.Fprintf(w, "made the CA %q, valid until %s\n", c.Cert.Subject.CommonName, caDate(c.Cert.NotAfter))
			caFiles(w, c.Files.Key, "its private key: keep it secret, and a copy in a safe place",
				c.Files.Cert, "its certificate", c.Files.CRL, "its revocation list, still empty")
			if opts.Settings.Server != "" && opts.Settings.Network.IsValid() {
				fmt.Fprintf(w, "\nNext, on %s, start the rendezvous server, which serves the CA, too; then invite each host:\n  campagnol_rdv -D --authority%s\n  campagnol ca invite NAME%s\nIf the CA is to stay on another computer, see \"campagnol ca serve --help\".\n",
					caHost(opts.Settings.Server), strings.TrimPrefix(t.dirOption(), " --dir"), t.dirOption())
				return nil
			}
			fmt.Fprintf(w, "\nNext, issue a certificate for each host:\n  campagnol ca issue NAME --ip VPNIP%s\n", t.dirOption())
			return nil
		},
	}
	cmd.Flags().StringVar(&opts.Name, "name", "", "call the CA `NAME` (default \"Campagnol VPN CA\")")
	caSettingsFlags(cmd, &opts.Settings)
	caDaysFlag(cmd, &opts.Days, ca.DefaultCADays, "the certificate of the CA")
	caRSAFlag(cmd, &opts.RSA)
	cmd.Flags().Var((*caURLList)(&opts.OCSP), "ocsp", "responder (OCSP) that certificates of the CA name; may be repeated")
	cmd.Flags().BoolVar(&encrypt, "encrypt", false, "encrypt the private key with a pass phrase, which is asked")
	return cmd
}

// dirOption is the option that names the CA in commands that we show, if it is
// needed.
func (t *caTool) dirOption() string {
	if t.dir == cmp.Or(os.Getenv(caDirVariable), caDirDefault) {
		return ""
	}
	return " --dir " + t.dir
}

// newPassphrase asks for a pass phrase twice, or reads it.
func (t *caTool) newPassphrase() ([]byte, error) {
	var pass []byte
	var err error
	if t.passphrase != "" {
		pass, err = caReadPassphrase(t.passphrase)
	} else if pass, err = t.ask("New pass phrase for the key of the CA: "); err == nil {
		var again []byte
		if again, err = t.ask("The same again: "); err == nil && !bytes.Equal(pass, again) {
			err = errors.New("ca: the two pass phrases differ")
		}
	}
	if err == nil && len(pass) == 0 {
		err = errors.New("ca: the pass phrase is empty")
	}
	return pass, err
}

// caRequestFlags adds the options that issue and sign share.
func caRequestFlags(cmd *cobra.Command, r *ca.Request) {
	f := cmd.Flags()
	f.Var((*caAddrList)(&r.Addrs), "ip", "VPN address of the host (vpn_ip); may be repeated, or be a list with commas")
	f.BoolVar(&r.NoAddress, "no-ip", false, "issue a certificate without VPN address")
	f.BoolVar(&r.Rendezvous, "rdv", false, "issue a certificate for a rendezvous server (campagnol_rdv), which has no VPN address")
	f.Var((*caGroupList)(&r.Groups), "group", "group that the host is in, for the policy; may be repeated, or be a list with commas")
	f.BoolVar(&r.NoGroups, "no-group", false, "with --renew: in no group any more")
	f.Var((*caRouteList)(&r.Routes), "route", "network behind the host, for the policy; may be repeated, or be a list with commas")
	f.BoolVar(&r.NoRoutes, "no-route", false, "with --renew: no network behind the host any more")
	caResponderFlags(f, r)
	f.BoolVar(&r.Renew, "renew", false, "the host has a certificate already; keep its addresses, groups and networks\nunless others are given")
	f.BoolVar(&r.Force, "force", false, "go on although the name or an address is taken")
	caDaysFlag(cmd, &r.Days, ca.DefaultDays, "the certificate")
}

func caDaysFlag(cmd *cobra.Command, days *int, fallback int, what string) {
	*days = fallback
	cmd.Flags().Var((*caNumber)(days), "days", "validity of "+what+" in days")
}

func caRSAFlag(cmd *cobra.Command, bits *int) {
	cmd.Flags().Var((*caNumber)(bits), "rsa", fmt.Sprintf("make an RSA key with this many bits (default %d) instead of an ECDSA one", caRSABits))
	flag := cmd.Flags().Lookup("rsa")
	flag.NoOptDefVal, flag.DefValue = fmt.Sprint(caRSABits), ""
}

func (t *caTool) issueCommand() *cobra.Command {
	var req ca.Request
	cmd := &cobra.Command{
		Use:   "issue NAME",
		Short: "Make a key and a certificate for a host",
		Long: `Make a key and a certificate for the host NAME, in a folder that can be copied
to it. The certificate binds the host to its VPN addresses: other hosts believe
no packet from another one. Groups and networks behind it (--group, --route) are
for the policy of the VPN: role:NAME there is who has a certificate with the
group NAME.

A certificate for a host that has one needs --renew. The old one stays valid, so
that there is time to replace it; revoke it then.`,
		Example: "  campagnol ca issue alice --ip 10.9.0.1\n  campagnol ca issue alice --renew\n  campagnol ca issue bob --ip 10.9.0.2 --ip fd00:9::2 --rsa --days 365\n  campagnol ca issue gate --ip 10.9.0.3 --group server --route 192.168.7.0/24\n  campagnol ca issue rdv --rdv",
		Args:    caOneArg("the name of the host"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Name = args[0]
			c, err := t.open()
			if err != nil {
				return err
			}
			out, err := c.Issue(t.now(), rand.Reader, req)
			if err != nil {
				return err
			}
			t.printIssued(cmd.OutOrStdout(), out)
			return t.recordIssued(out)
		},
	}
	caRequestFlags(cmd, &req)
	caRSAFlag(cmd, &req.RSA)
	return cmd
}

func (t *caTool) signCommand() *cobra.Command {
	var req ca.Request
	cmd := &cobra.Command{
		Use:   "sign FILE",
		Short: "Make a certificate for a key made elsewhere",
		Long: `Make a certificate for a key that never leaves its host. FILE is a signing
request, made there, for instance with

  openssl req -new -key key.pem -subj /CN=NAME -out NAME.csr

or "-" for the standard input. Its signature proves that the host has the key.
What else it asks for is ignored: name, addresses, groups and networks are
yours to decide.

FILE may also be a certificate that this CA has issued before. It is signed
anew, for the same key: the remedy for certificates with SHA-1 signatures, which
the script of Campagnol 0.3.5 made.`,
		Example: "  campagnol ca sign bob.csr --ip 10.9.0.2\n  campagnol ca sign CA/alice/certificate.pem --ip 10.9.0.1",
		Args:    caOneArg("the file to sign"),
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := caReadRequest(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			c, err := t.open()
			if err != nil {
				return err
			}
			out, err := c.Sign(t.now(), rand.Reader, data, req)
			if err != nil {
				return err
			}
			t.printIssued(cmd.OutOrStdout(), out)
			return t.recordIssued(out)
		},
	}
	caRequestFlags(cmd, &req)
	cmd.Flags().StringVar(&req.Name, "name", "", "call the host `NAME` (default the common name in FILE)")
	cmd.Flags().BoolVar(&req.AddrsFromCSR, "csr-ips", false, "take the IP addresses that the request asks for")
	return cmd
}

// caReadRequest reads a file to sign.
func caReadRequest(stdin io.Reader, path string) ([]byte, error) {
	const limit = 1 << 20
	if path == "-" {
		path = "/dev/stdin"
		data, err := io.ReadAll(io.LimitReader(stdin, limit))
		if err != nil {
			return nil, fmt.Errorf("ca: %s: %w", path, err)
		}
		return data, nil
	}
	data, err := safefile.Read(path, limit)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	return data, nil
}

func (t *caTool) revokeCommand() *cobra.Command {
	var reason string
	var days int
	cmd := &cobra.Command{
		Use:   "revoke NAME|SERIAL|FILE",
		Short: "Shut a host out of the VPN",
		Long: `Revoke all valid certificates of the host NAME, or the one with the serial
number SERIAL, or the one in FILE, and write a new revocation list.

Hosts learn it from that list. While the CA is served (campagnol_rdv
--authority, or campagnol ca serve) they get it within seconds, and end their
tunnels with the host. Otherwise it has to be copied to them.`,
		Example: "  campagnol ca revoke alice --reason keyCompromise\n  campagnol ca revoke 7C0D5A8B2F1E4C6D9A3B5E7F01234567",
		Args:    caOneArg("what to revoke"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := t.open()
			if err != nil {
				return err
			}
			gone, err := c.Revoke(t.now(), args[0], reason)
			if err != nil {
				return err
			}
			for _, e := range gone {
				fmt.Fprintf(cmd.OutOrStdout(), "revoked the certificate of %s (%s), serial %s\n", e.Name, caAddrs(e.Addrs), e.Serial)
			}
			if err := t.recordRevoked(gone, reason); err != nil {
				return err
			}
			if err := t.printCRL(cmd.OutOrStdout(), c, days); err != nil {
				return cli.WithHint(fmt.Errorf("ca: the certificate is revoked, but the revocation list is still the old one: %w", err), "write it with \"campagnol ca crl%s\"", t.dirOption())
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "write this `REASON` into the list, one of "+strings.Join(ca.Reasons(), ", "))
	caDaysFlag(cmd, &days, ca.DefaultCRLDays, "the revocation list")
	return cmd
}

func (t *caTool) crlCommand() *cobra.Command {
	var days int
	cmd := &cobra.Command{
		Use:   "crl",
		Short: "Write a new revocation list",
		Long: `Write a new revocation list. It is needed after each revocation, which does it
by itself, and before the last one has become too old: hosts go on with an old
one, but warn.`,
		Example: "  campagnol ca crl --days 90",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := t.open()
			if err != nil {
				return err
			}
			return t.printCRL(cmd.OutOrStdout(), c, days)
		},
	}
	caDaysFlag(cmd, &days, ca.DefaultCRLDays, "the revocation list")
	return cmd
}

func (t *caTool) listCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the certificates of the CA",
		Long:    "List the certificates that the CA has issued, the oldest first.",
		Example: "  campagnol ca list\n  campagnol ca list --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := t.open()
			if err != nil {
				return err
			}
			list, err := c.List(t.now())
			if err != nil {
				return err
			}
			if asJSON {
				records := []caRecord{}
				for _, e := range list {
					records = append(records, caRecordOf(e))
				}
				return caJSON(cmd.OutOrStdout(), records)
			}
			if len(list) == 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "the CA %q has issued no certificate yet\n", c.Cert.Subject.CommonName)
				return nil
			}
			return caPrintList(cmd.OutOrStdout(), list)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON, for programs")
	return cmd
}

func (t *caTool) showCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "show NAME|SERIAL|FILE",
		Short:   "Show all about a certificate",
		Long:    "Show all certificates of the host NAME, or the one with the serial number\nSERIAL, or the one in FILE.",
		Example: "  campagnol ca show alice",
		Args:    caOneArg("what to show"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := t.open()
			if err != nil {
				return err
			}
			list, err := c.Show(t.now(), args[0])
			if err != nil {
				return err
			}
			if !asJSON {
				return caPrintDetails(cmd.OutOrStdout(), list)
			}
			var records []caRecord
			for _, d := range list {
				r := caRecordOf(d.Entry)
				if d.Cert != nil {
					id, _ := d.KeyID.MarshalText() // never fails
					r.NotBefore, r.Key, r.KeyID, r.Signature, r.Usage = &d.NotBefore, d.Key, string(id), d.Signature, d.Usage
					r.Responders = d.Cert.OCSPServer
				}
				records = append(records, r)
			}
			return caJSON(cmd.OutOrStdout(), records)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON, for programs")
	return cmd
}
