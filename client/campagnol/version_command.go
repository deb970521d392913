package main

import (
	"encoding/json"
	"fmt"
	"runtime"

	"campagnol/internal/version"

	"github.com/spf13/cobra"
)

// A versionDocument is what "campagnol version --json" writes.
type versionDocument struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

// newVersionCommand returns the command "campagnol version".
func newVersionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show the version of this program",
		Long: `Show the version of this program, as -V does, and what it was built from. The version
of the client that runs is the first line of "campagnol status".`,
		Example:       "  campagnol version\n  campagnol version --json",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !asJSON {
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s %s/%s\n", program, version.String(), runtime.GOOS, runtime.GOARCH)
				return err
			}
			built := version.Built()
			b, err := json.MarshalIndent(versionDocument{Version: version.Version, Commit: built.Commit, Modified: built.Modified,
				Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}, "", "  ")
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", b)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON (docs/control.md)")
	return cmd
}
