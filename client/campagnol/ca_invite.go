package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"campagnol/internal/audit"
	"campagnol/pki/ca"
	"campagnol/pki/enroll"
)

// enrolmentCommands returns the commands for hosts that enrol by themselves, and
// for what all members should have.
func (t *caTool) enrolmentCommands() []*cobra.Command {
	return []*cobra.Command{t.settingsCommand(), t.inviteCommand(), t.invitationsCommand(), t.uninviteCommand(), t.publishCommand(), t.rotateCommand(), t.serveCommand()}
}

func (t *caTool) inviteCommand() *cobra.Command {
	o := ca.InviteOptions{Valid: ca.DefaultValid}
	var asJSON, quiet bool
	cmd := &cobra.Command{
		Use:   "invite NAME",
		Short: "Make a token with which a new host joins the VPN",
		Long: `Make a token with which the host NAME gets a certificate, and all that it has to
know, by itself: "campagnol join TOKEN" there does the rest. The key of the host
never leaves it.

The token is a secret: whoever uses it first takes the place of NAME. It works
once, and for an hour (--valid). It is shown now and never again.

The host gets the address --ip, or a free one of the VPN's network, or of the
part of it that --pool names; and one of its IPv6 network, if it has one. A CA
that does not know the rendezvous server and the network yet is told by
"campagnol ca settings".

A host that has a certificate, and has lost its key, is invited with --renew. It
keeps its addresses, groups and networks.`,
		Example: "  campagnol ca invite carol\n  campagnol ca invite dave --ip 10.9.0.4 --group admin --valid 7d\n  campagnol ca invite erin --quiet",
		Args:    caOneArg("the name of the host"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			c, err := t.open()
			if err != nil {
				return err
			}
			i, token, err := c.Invite(t.now(), rand.Reader, o)
			if err != nil {
				return err
			}
			switch w := cmd.OutOrStdout(); {
			case asJSON:
				r := caInvitationOf(t.now(), i)
				r.Token = token.String()
				if err := caJSON(w, r); err != nil {
					return err
				}
			case quiet:
				fmt.Fprintln(w, token)
			default:
				fmt.Fprintf(w, "invited %s (%s) until %s; on that host, as root, run\n\n", i.Name, caAddrs(i.Addrs), caMinute(i.Expires))
				fmt.Fprintf(w, "campagnol join \\\n%s\n", token)
			}
			return t.recordInvitation(audit.InvitationMade, i)
		},
	}
	f := cmd.Flags()
	f.Var((*caAddrList)(&o.Addrs), "ip", "VPN address of the host (default a free one); may be repeated, or be a list with commas")
	f.Var((*caNetwork)(&o.Pool), "pool", "where to look for a free address (default all of the VPN's network)")
	f.Var((*caDuration)(&o.Valid), "valid", "how long the token works, such as 30m, 1h or 7d")
	f.Var((*caGroupList)(&o.Groups), "group", "group that the host is in, for the policy; may be repeated, or be a list with commas")
	f.Var((*caRouteList)(&o.Routes), "route", "network behind the host, for the policy; may be repeated, or be a list with commas")
	f.Var((*caServer)(&o.Server), "rdv", "rendezvous server of the host (default that of the settings)")
	f.BoolVar(&o.Renew, "renew", false, "the host has a certificate already, and needs another")
	f.Var((*caNumber)(&o.Days), "days", "validity of the certificate in days (default that of the settings, or "+strconv.Itoa(ca.DefaultDays)+")")
	f.BoolVarP(&quiet, "quiet", "q", false, "print the token and nothing else")
	f.BoolVar(&asJSON, "json", false, "write JSON, for programs")
	return cmd
}

func (t *caTool) invitationsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "invitations",
		Short:   "List the invitations",
		Long:    "List the invitations, the oldest first: which are open, what has become of the\nothers. They are kept for 90 days after their end.",
		Example: "  campagnol ca invitations",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := t.open()
			if err != nil {
				return err
			}
			list, err := c.Invitations()
			if err != nil {
				return err
			}
			w, now := cmd.OutOrStdout(), t.now()
			if asJSON {
				records := []caInvitation{}
				for _, i := range list {
					records = append(records, caInvitationOf(now, i))
				}
				return caJSON(w, records)
			}
			if len(list) == 0 {
				fmt.Fprintln(w, "there is no invitation")
				return nil
			}
			return caPrintInvitations(w, now, list)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON, for programs")
	return cmd
}

func caPrintInvitations(w io.Writer, now time.Time, list []*ca.Invitation) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tADDRESSES\tSTATUS\tINVITATION")
	for _, i := range list {
		status := string(i.State(now))
		switch i.State(now) {
		case ca.InvitationOpen:
			status += " until " + caMinute(i.Expires)
		case ca.InvitationExpired:
			status += " on " + caMinute(i.Expires)
		case ca.InvitationWithdrawn:
			status += " on " + caMinute(i.Withdrawn)
		case ca.InvitationUsed:
			status += fmt.Sprintf(" on %s by key %v", caMinute(i.Used), i.Key)
			if i.Serial == "" {
				status += ", no certificate yet"
			}
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%v\n", caName(i.Name), caAddrs(i.Addrs), status, i.ID)
	}
	return table.Flush()
}

func (t *caTool) uninviteCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "uninvite NAME|ID",
		Short:   "Withdraw an invitation",
		Long:    "Withdraw the open invitation of the host NAME, or the one with the number ID:\nits token is worth nothing any more. One that was used cannot be withdrawn;\nrevoke the certificate.",
		Example: "  campagnol ca uninvite carol",
		Args:    caOneArg("what to withdraw"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := t.open()
			if err != nil {
				return err
			}
			i, err := c.Uninvite(t.now(), args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "withdrew the invitation of %s (%s)\n", i.Name, caAddrs(i.Addrs))
			return t.recordInvitation(audit.InvitationWithdrawn, i)
		},
	}
}

// caInvitation is an invitation in the output of --json.
type caInvitation struct {
	ID        string             `json:"id"`
	Name      string             `json:"name"`
	Status    ca.InvitationState `json:"status"`
	Addresses []netip.Addr       `json:"addresses"`
	Network   netip.Prefix       `json:"network"`
	Network6  netip.Prefix       `json:"network6,omitzero"`
	Domain    string             `json:"domain,omitzero"`
	Server    string             `json:"server"`
	Groups    []string           `json:"groups,omitempty"`
	Routes    []netip.Prefix     `json:"routes,omitempty"`
	Created   time.Time          `json:"created"`
	Expires   time.Time          `json:"expires"`
	Withdrawn time.Time          `json:"withdrawn,omitzero"`
	Used      time.Time          `json:"used,omitzero"`
	KeyID     string             `json:"key_id,omitempty"`
	Serial    string             `json:"serial,omitempty"`
	Token     string             `json:"token,omitempty"`
}

func caInvitationOf(now time.Time, i *ca.Invitation) caInvitation {
	r := caInvitation{ID: i.ID.String(), Name: i.Name, Status: i.State(now), Addresses: i.Addrs, Network: i.Network, Network6: i.Network6, Domain: i.Domain, Server: i.Server,
		Groups: i.Groups, Routes: i.Routes, Created: i.Created, Expires: i.Expires, Withdrawn: i.Withdrawn, Used: i.Used, Serial: i.Serial}
	if !i.Used.IsZero() {
		id, _ := i.Key.MarshalText() // never fails
		r.KeyID = string(id)
	}
	return r
}

// caMinute formats a time for people who may be in a hurry.
func caMinute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// caServer is the value of an option that names a rendezvous server.
type caServer string

// String returns HOST:PORT.
func (s *caServer) String() string { return string(*s) }

// Set reads HOST or HOST:PORT.
func (s *caServer) Set(text string) error {
	server, err := ca.ParseServer(text)
	*s = caServer(server)
	return err
}

// Type names the value in the help.
func (*caServer) Type() string { return "HOST[:PORT]" }

// caDomain is the value of an option that is a domain of names.
type caDomain string

// String returns the domain.
func (d *caDomain) String() string { return string(*d) }

// Set reads a domain, in letters of any case, with or without a dot at its end.
func (d *caDomain) Set(text string) error {
	*d = caDomain(strings.ToLower(strings.TrimSuffix(text, ".")))
	return enroll.CheckDomain(string(*d))
}

// Type names the value in the help.
func (*caDomain) Type() string { return "domain" }

// caNetwork is the value of an option that is a network.
type caNetwork netip.Prefix

// String returns the network.
func (n *caNetwork) String() string {
	if p := netip.Prefix(*n); p.IsValid() {
		return p.String()
	}
	return ""
}

// Set reads a network.
func (n *caNetwork) Set(text string) error {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return fmt.Errorf("%q is not a network such as 10.9.0.0/24", text)
	}
	*n = caNetwork(p)
	return nil
}

// Type names the value in the help.
func (*caNetwork) Type() string { return "network" }

// caDuration is the value of an option that is a time span.
type caDuration time.Duration

// String returns the span.
func (d *caDuration) String() string {
	s := time.Duration(*d).String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}

// Set reads a span such as 90m, 1h or 7d.
func (d *caDuration) Set(text string) error {
	v, err := ca.ParsePeriod(text)
	if err == nil {
		*d = caDuration(v)
	}
	return err
}

// Type names the value in the help.
func (*caDuration) Type() string { return "time" }
