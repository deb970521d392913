package main

import "github.com/spf13/cobra"

func newBugReportCommand() *cobra.Command { return &cobra.Command{Use: "bugreport"} }
