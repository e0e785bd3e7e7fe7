package main

import (
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock-mail/penstock/engine"
	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/config"
	"github.com/penstock-mail/penstock/pool/smtp"
)

// sendTest sends one message to one address, records nothing, and says what
// became of it.
func (s *sending) sendTest(cmd *cobra.Command, cfg *config.Config, c *campaign.Campaign, log *slog.Logger) error {
	m, err := engine.Render(cmd.Context(), cfg, c, os.Stdin, s.row, s.test)
	if err != nil {
		return &exit{exitMistakes, err}
	}
	r, err := engine.SendOne(cmd.Context(), cfg, log, m)
	if err != nil {
		return err
	}
	secured := "in plain"
	if r.TLS != "" {
		secured = "with " + r.TLS
	}
	said := strings.ReplaceAll(r.Outcome.Reply.String(), "\n", " ")
	if r.Outcome.Err != nil {
		said = r.Outcome.Err.Error()
	}
	result := fmt.Sprintf("%s: row %d to %s via %s (%s), %s, in %s: %s", r.Outcome.Fate, s.row, s.test, r.Host, r.Addr, secured, span(r.Took), said)
	if r.Outcome.Fate != smtp.Delivered {
		return fmt.Errorf("%s", result)
	}
	if !s.quiet {
		fmt.Fprintln(cmd.OutOrStdout(), result)
	}
	return nil
}
