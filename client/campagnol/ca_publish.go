package main

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"campagnol/internal/cli"
	"campagnol/pki/ca"
	"campagnol/pki/policy"
)

// caSettingsFlags adds the options for settings.
func caSettingsFlags(cmd *cobra.Command, s *ca.Settings) {
	cmd.Flags().Var((*caServer)(&s.Server), "rdv", "rendezvous server of the VPN, for hosts that are invited")
	cmd.Flags().Var((*caNetwork)(&s.Network), "network", "network of the VPN, for hosts that are invited")
	cmd.Flags().Var((*caNetwork)(&s.Network6), "network6", "IPv6 network of the VPN, of which hosts that are invited get an address, too")
	cmd.Flags().Var((*caDomain)(&s.Domain), "domain", "domain in which members have names, such as vpn.internal, for hosts that are invited (docs/names.md)")
}

func (t *caTool) settingsCommand() *cobra.Command {
	var change ca.Settings
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "settings",
		Short: "Show or change what hosts that are invited are told",
		Long: `Show what a host that is invited is told about the VPN, after changing what the
options say. Invitations that are open already stay as they are.`,
		Example: "  campagnol ca settings --rdv rdv.example.org --network 10.9.0.0/24\n  campagnol ca settings --days 30",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := t.open()
			if err != nil {
				return err
			}
			s, err := c.Settings()
			if err == nil && change != (ca.Settings{}) {
				s, err = c.ChangeSettings(func(s *ca.Settings) {
					s.Server = cmp.Or(change.Server, s.Server)
					s.Network = cmp.Or(change.Network, s.Network)
					s.Network6 = cmp.Or(change.Network6, s.Network6)
					s.Domain = cmp.Or(change.Domain, s.Domain)
					s.Days = cmp.Or(change.Days, s.Days)
				})
			}
			if err != nil {
				return err
			}
			if asJSON {
				return caJSON(cmd.OutOrStdout(), s)
			}
			return caPrintSettings(cmd.OutOrStdout(), s)
		},
	}
	caSettingsFlags(cmd, &change)
	cmd.Flags().Var((*caNumber)(&change.Days), "days", "validity in days of certificates by invitation")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON, for programs")
	return cmd
}

func caPrintSettings(w io.Writer, s ca.Settings) error {
	network := "not set"
	if s.Network != (netip.Prefix{}) {
		network = s.Network.String()
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "rendezvous server:\t%s\n", cmp.Or(s.Server, "not set"))
	fmt.Fprintf(table, "network:\t%s\n", network)
	if s.Network6.IsValid() {
		fmt.Fprintf(table, "IPv6 network:\t%s\n", s.Network6)
	}
	if s.Domain != "" {
		fmt.Fprintf(table, "domain:\t%s\n", s.Domain)
	}
	fmt.Fprintf(table, "days:\t%d\n", cmp.Or(s.Days, ca.DefaultDays))
	return table.Flush()
}

func (t *caTool) publishCommand() *cobra.Command {
	var file string
	var noPolicy bool
	cmd := &cobra.Command{
		Use:   "publish --policy FILE | --no-policy",
		Short: "Sign the policy of the VPN for all hosts",
		Long: `Sign the policy (docs/policy.md) in FILE for all hosts. It becomes part of the
bulletin in the CA's directory, which also names the CA's certificates while its
key is being replaced. A CA that is served gives the bulletin to the rendezvous
server, and that to the hosts. The file is checked first.`,
		Example: "  campagnol ca publish --policy policy\n  campagnol ca publish --no-policy",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text := ""
			switch {
			case file == "" && !noPolicy:
				return caUsage(cmd, errors.New("say what to publish: --policy FILE, or --no-policy to take the last one back"))
			case file != "" && noPolicy:
				return caUsage(cmd, errors.New("with and without policy at once is not possible"))
			case file != "":
				var err error
				if text, err = caReadPolicy(cmd.InOrStdin(), file); err != nil {
					return err
				}
			}
			c, err := t.open()
			if err != nil {
				return err
			}
			b, err := c.Publish(t.now(), rand.Reader, text)
			if err != nil {
				return err
			}
			what := "without policy"
			if text != "" {
				what = fmt.Sprintf("with a policy of %d lines", strings.Count(strings.TrimSuffix(text, "\n"), "\n")+1)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "wrote bulletin number %d %s\n", b.Number, what)
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "policy", "", "the policy, in `FILE`")
	cmd.Flags().BoolVar(&noPolicy, "no-policy", false, "publish that there is no policy any more")
	return cmd
}

// caReadPolicy reads a policy, and checks it.
func caReadPolicy(stdin io.Reader, path string) (string, error) {
	data, err := caReadRequest(stdin, path)
	if err != nil {
		return "", err
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return "", cli.WithHint(fmt.Errorf("ca: %s: the policy is empty", path), "to take the last one back: campagnol ca publish --no-policy")
	}
	if _, err := policy.Parse(path, string(data)); err != nil {
		return "", fmt.Errorf("ca: %w", err)
	}
	return string(data), nil
}

func (t *caTool) rotateCommand() *cobra.Command {
	var opts ca.InitOptions
	var finish, force bool
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Replace the key of the CA while the VPN goes on",
		Long: `Replace the key of the CA by a new one. From then on new certificates are signed
by the new key. The bulletin, signed by both keys, makes the new certificate
known to the hosts; those that do not get bulletins need it in their
ca_certificates: the file next to a new certificate has both.

When all hosts have a certificate by the new key, --finish ends it: the old key
signs a last revocation list, and is deleted. Until then "campagnol ca rotate
--status" lists the hosts that lack one.`,
		Example: "  campagnol ca rotate\n  campagnol ca rotate --status\n  campagnol ca rotate --finish",
		Args:    cobra.NoArgs,
	}
	var status bool
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := t.open()
		if err != nil {
			return err
		}
		c.Passphrase = caAskOnce(c.Passphrase)
		w := cmd.OutOrStdout()
		switch {
		case status:
			return t.printRotation(w, c)
		case finish:
			r, err := c.FinishRotation(t.now(), rand.Reader, force)
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "the key of %q is deleted; all certificates come from %q now\n", r.Old.Subject.CommonName, r.New.Subject.CommonName)
			for _, e := range r.Waiting {
				fmt.Fprintf(w, "note: %s (%s) has no certificate by the new key, and is shut out when hosts do not trust the old CA any more\n", caName(e.Name), caAddrs(e.Addrs))
			}
			return nil
		case force:
			return caUsage(cmd, errors.New("--force goes with --finish"))
		}
		if _, err := c.Rotate(t.now(), rand.Reader, opts); err != nil {
			return err
		}
		fmt.Fprintf(w, "made a new key for the CA, %q, valid until %s\n", c.Cert.Subject.CommonName, caDate(c.Cert.NotAfter))
		caFiles(w, c.Files.Key, "its private key: keep it secret, and a copy in a safe place",
			c.Files.Cert, "its certificate", c.Files.CRL, "revocation lists by both keys")
		fmt.Fprintf(w, "\nWhen the hosts have renewed their certificates:\n  campagnol ca rotate --finish%s\n", t.dirOption())
		return nil
	}
	f := cmd.Flags()
	f.StringVar(&opts.Name, "name", "", "call the new CA `NAME` (default the name of the last one, and a number)")
	caDaysFlag(cmd, &opts.Days, ca.DefaultCADays, "the certificate of the CA")
	caRSAFlag(cmd, &opts.RSA)
	f.BoolVar(&status, "status", false, "show how far it is, and change nothing")
	f.BoolVar(&finish, "finish", false, "end the replacement: delete the old key")
	f.BoolVar(&force, "force", false, "with --finish: although hosts have no certificate by the new key")
	return cmd
}

// caAskOnce asks for one pass phrase only: that of the old key is that of the new.
func caAskOnce(ask ca.Passphrase) ca.Passphrase {
	var known []byte
	return func(path string) ([]byte, error) {
		if known != nil {
			return known, nil
		}
		pass, err := ask(path)
		if err == nil {
			known = pass
		}
		return pass, err
	}
}

// printRotation says how far the replacement of the key is.
func (t *caTool) printRotation(w io.Writer, c *ca.CA) error {
	r, err := c.Rotation(t.now())
	if err != nil {
		return err
	}
	if r == nil {
		fmt.Fprintln(w, "no key of the CA is being replaced")
		return nil
	}
	fmt.Fprintf(w, "%q takes the place of %q since %s\n", r.New.Subject.CommonName, r.Old.Subject.CommonName, caDate(r.Since))
	if len(r.Waiting) == 0 {
		fmt.Fprintf(w, "all hosts have a certificate by the new key; end it: campagnol ca rotate --finish%s\n", t.dirOption())
		return nil
	}
	fmt.Fprintf(w, "%s by the old key %s no successor:\n", caCount(len(r.Waiting)), map[bool]string{true: "has", false: "have"}[len(r.Waiting) == 1])
	return caPrintList(w, r.Waiting)
}
