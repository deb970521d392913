package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"campagnol/internal/cli"
	"campagnol/pki"
	"campagnol/pki/policy"

	"github.com/spf13/cobra"
)

const policyHelp = `Work with policies: files that say who may talk to whom in a VPN, who may relay for
whom, and what packets may carry. Hosts and rendezvous servers obey them.
campagnol-policy(5) and docs/policy.md explain how they are written.`

const policyCheckHelp = `Read the policy in FILE and say what is in it and what looks like a mistake; "-" is
the standard input.

With two members, say whether A may open a tunnel to B, which line decides it, who
may relay for them and what their packets may carry. A member is what is known of
it, with commas between: a name, VPN addresses, networks behind it, and with role:
the groups of its certificate. The file of a certificate (with a slash in its name,
or ending in .pem or .crt) says it all by itself.

The exit status is 0 if A may talk to B, 2 if not, and 1 if the policy has a
mistake. Warnings do not change it.`

const policyCheckExample = `  campagnol policy check policy.txt
  campagnol policy check policy.txt alice 10.9.0.7
  campagnol policy check policy.txt bob,10.9.0.2,role:guest CA/hosts/gate/certificate.pem`

// newPolicyCommand returns the command "campagnol policy".
func newPolicyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "policy",
		Short:         "Check who may talk to whom",
		Long:          policyHelp,
		Example:       "  campagnol policy check policy.txt alice bob",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPolicyCheckCommand())
	return cmd
}

func newPolicyCheckCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "check FILE [A B]",
		Short:   "Check a policy, or ask it about two members",
		Long:    policyCheckHelp,
		Example: policyCheckExample,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 || len(args) == 3 {
				return nil
			}
			return cli.WithHint(fmt.Errorf("policy check: expected a file, or a file and two members, not %d arguments", len(args)),
				"%q explains the command", cmd.CommandPath()+" --help")
		},
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := loadPolicy(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return printPolicy(cmd.OutOrStdout(), p, asJSON)
			}
			a, err := parseMember(args[1])
			if err != nil {
				return err
			}
			b, err := parseMember(args[2])
			if err != nil {
				return err
			}
			report := policyReportOf(p, a, b, args[1], args[2])
			if err := report.print(cmd.OutOrStdout(), asJSON); err != nil {
				return err
			}
			if !report.Talk.Allowed {
				return &cli.ExitError{Code: policyDenied}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON, for programs")
	return cmd
}

// policyDenied is the exit status for a pair that may not talk.
const policyDenied = 2

// loadPolicy reads a policy.
func loadPolicy(stdin io.Reader, path string) (*policy.Policy, error) {
	if path != "-" {
		return policy.Load(path)
	}
	data, err := io.ReadAll(io.LimitReader(stdin, policy.MaxSize))
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	return policy.Parse("(standard input)", string(data))
}

// parseMember reads a member of the command line.
func parseMember(text string) (policy.Member, error) {
	if strings.HasSuffix(text, ".pem") || strings.HasSuffix(text, ".crt") || isFile(text) {
		chain, err := pki.LoadCertificates(text)
		if err != nil {
			return policy.Member{}, err
		}
		a, err := pki.AttributesOf(chain[0])
		if err != nil {
			return policy.Member{}, err
		}
		return policy.MemberOf(a), nil
	}
	var m policy.Member
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		role, isRole := strings.CutPrefix(part, "role:")
		if a, err := netip.ParseAddr(part); err == nil {
			m.Addrs = append(m.Addrs, a)
		} else if n, err := netip.ParsePrefix(part); err == nil {
			m.Routes = append(m.Routes, n.Masked())
		} else if isRole {
			m.Groups = append(m.Groups, role)
		} else if part == "" || part == "all" || strings.ContainsAny(part, "*/") {
			return m, cli.WithHint(fmt.Errorf("policy: %q is not a member of a VPN", text),
				"a member is a name, an address, role:NAME, several of these with commas, or the file of its certificate")
		} else {
			m.Names = append(m.Names, part)
		}
	}
	return m, nil
}

// isFile reports whether text, which has a slash, names a file.
func isFile(text string) bool {
	if !strings.Contains(text, "/") {
		return false
	}
	_, err := os.Stat(text)
	return !errors.Is(err, os.ErrNotExist)
}
