package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/penstock-mail/penstock/engine/address"
	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/ledger"
)

func newVerify(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "verify",
		Short: "Prove that the ledger adds up: every recipient in exactly one state, every index consistent",
		Args:  takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.formatIs("table", "json"); err != nil {
				return err
			}
			return f.ask(cmd.Context(), func(c *control.Client) error {
				r, err := c.Verify(cmd.Context(), &pb.VerifyRequest{})
				if err != nil {
					return err
				}
				if f.format == "json" {
					if err := printProof(cmd.OutOrStdout(), r); err != nil {
						return err
					}
				} else {
					for _, fault := range r.Faults {
						fmt.Fprintln(cmd.ErrOrStderr(), fault)
					}
				}
				if n := len(r.Faults); n > 0 {
					return fmt.Errorf("the ledger does not add up: %d faults", n)
				}
				if f.format == "json" {
					return nil
				}
				fmt.Fprintf(cmd.OutOrStdout(), "verified: %s, %s, %s; all adds up\n",
					numbered(r.Campaigns, "campaign"), numbered(r.Recipients, "recipient"), numbered(r.Attempts, "history record"))
				return nil
			})
		},
	}
	f.add(c, "config", "data", "format")
	return c
}

func newBackup(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "backup DIR",
		Short: "Write a consistent copy of the data directory, also while sending",
		Args:  takes("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.isRemote() && !filepath.IsAbs(args[0]) {
				return mistake("with --server, DIR is on the server's machine, so it must be an absolute path")
			}
			dir, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			return f.ask(cmd.Context(), func(c *control.Client) error {
				if _, err := c.Backup(cmd.Context(), &pb.BackupRequest{Directory: dir}); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "backed up to %s; use it with --data\n", dir)
				return nil
			})
		},
	}
	f.add(c, "config", "data")
	return c
}

func newErase(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "erase ADDRESS",
		Short: "Remove an address and its merge data everywhere; the counts stay",
		Args:  takes("ADDRESS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			local, domain, err := address.Parse(args[0])
			if err != nil {
				return mistake("address %q %w", args[0], err)
			}
			cfg, err := f.load()
			if err != nil {
				return err
			}
			var led *ledger.Ledger
			if err := whileHeld(cmd.Context(), cfg.Data, func() (err error) {
				led, err = openLedger(cfg)
				return err
			}); err != nil {
				return err
			}
			n, err := led.Erase(cmd.Context(), local, domain)
			if err = errors.Join(err, led.Close()); err != nil {
				return err
			}
			if n == 0 {
				return fmt.Errorf("%s is in no campaign", args[0])
			}
			fmt.Fprintf(cmd.OutOrStdout(), "erased %s from %s; the counts stay\n", args[0], numbered(n, "place"))
			return nil
		},
	}
	f.add(c, "config", "data")
	return c
}

// printProof writes numbers as numbers: protojson makes text of large ones.
func printProof(w io.Writer, r *pb.VerifyResponse) error {
	text, err := json.Marshal(struct {
		Campaigns      uint64   `json:"campaigns"`
		Recipients     uint64   `json:"recipients"`
		HistoryRecords uint64   `json:"history_records"`
		Faults         []string `json:"faults"`
	}{r.Campaigns, r.Recipients, r.Attempts, append([]string{}, r.Faults...)})
	if err != nil {
		return err
	}
	return indented(w, text)
}
