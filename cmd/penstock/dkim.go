package main

import "github.com/spf13/cobra"

func newDKIM() *cobra.Command {
	return &cobra.Command{Use: "dkim", Short: "Make DKIM keys and check signatures"}
}
func newDemo() *cobra.Command {
	return &cobra.Command{Use: "demo", Short: "Send a real campaign to a local receiving server"}
}
