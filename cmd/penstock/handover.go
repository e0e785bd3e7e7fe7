package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-mail/penstock/engine/config"
	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/ledger"
)

// watchEvery is how often send asks about a campaign that another process sends.
const watchEvery = 250 * time.Millisecond

// handOver gives the campaign to the process that holds the data directory, and
// watches it to its end. held is why this process cannot send it itself, and the
// error where that one takes no campaigns.
func (s *sending) handOver(ctx context.Context, cmd *cobra.Command, cfg *config.Config, path string, held error) error {
	c := control.Dial(cfg.Data)
	defer c.Close()
	p, err := pack(path, false)
	if err != nil {
		return err
	}
	held = fmt.Errorf("%w; ask it how it is going: penstock report %s", held, p.id)
	if _, err := c.GetIntake(ctx, &pb.GetIntakeRequest{CampaignId: p.id}); control.NotSteered(err) {
		return held // it is another send, or gone
	}
	for name, given := range map[string]bool{"--for": s.last > 0, "--until-idle": s.untilIdle, "--stream": s.stream, "--stats": s.usage.path != ""} {
		if given {
			return mistake("%s rules the process that sends, and %s is held by penstock serve: leave the flag out, and the campaign is handed over", name, cfg.Data)
		}
	}
	p.request.Start, p.warned = true, true // by send, before it found the directory held
	if !s.quiet {
		fmt.Fprintf(os.Stderr, "handing the campaign to penstock serve, which holds %s\n", cfg.Data)
	}
	if err := s.handIn(ctx, c, p); err != nil {
		return control.Cause(err)
	}
	finished, err := s.watch(ctx, c, p.id)
	switch {
	case err != nil:
		return control.Cause(err)
	case !finished:
		if !s.quiet {
			fmt.Fprintf(os.Stderr, "watching has ended, the campaign goes on in penstock serve: penstock report %s, or penstock campaign cancel %s\n", p.id, p.id)
		}
		return &exit{code: exitStopped}
	case s.quiet:
		return nil
	}
	res, err := patiently(ctx, uploadPatience, func() (*pb.GetReportResponse, error) {
		return c.GetReport(ctx, &pb.GetReportRequest{CampaignId: p.id})
	})
	if err != nil {
		return control.Cause(err)
	}
	return printReport(cmd.OutOrStdout(), res.ReportJson, s.format)
}

// watch shows how a campaign goes until it has ended, or ctx does. A server that
// starts anew is waited for.
func (s *sending) watch(ctx context.Context, c *control.Client, id string) (finished bool, err error) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	shown := s.newHandedIn()
	defer shown.clear()
	var m meter
	var lost time.Time // since when it does not answer
	for {
		res, err := c.GetCampaign(ctx, &pb.GetCampaignRequest{CampaignId: id})
		switch {
		case ctx.Err() != nil:
			return false, nil
		case err != nil && control.Transient(err):
			if lost.IsZero() {
				lost = time.Now()
			}
			if time.Since(lost) > uploadPatience {
				return false, fmt.Errorf("the process that sends the campaign has ended, nothing is lost; penstock serve goes on with it: %w", control.Cause(err))
			}
		case err != nil:
			return false, err
		case res.Campaign.State == "finished" || res.Campaign.State == "cancelled":
			return true, nil
		default:
			lost = time.Time{}
			now := time.Now()
			shown.show(watched(now, res.Campaign, m.add(now, settledOf(res.Campaign))))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func countsOf(n *pb.Counts) (c ledger.Counts) {
	c[ledger.Pending], c[ledger.Delivered], c[ledger.Deferred] = n.Pending, n.Delivered, n.Deferred
	c[ledger.Bounced], c[ledger.Expired], c[ledger.Suppressed] = n.Bounced, n.Expired, n.Suppressed
	c[ledger.Cancelled], c[ledger.Uncertain] = n.Cancelled, n.Uncertain
	return c
}

func settledOf(c *pb.Campaign) uint64 { return settled(c.Counts.Loaded, countsOf(c.Counts)) }

// watched is the line for a campaign that another process sends.
func watched(now time.Time, c *pb.Campaign, rate float64) string {
	done := settledOf(c)
	parts := []string{
		fmt.Sprintf("%s of %s (%s)", count(done), count(c.Counts.Loaded), share(done, c.Counts.Loaded)),
		count(uint64(rate)) + "/s",
	}
	parts = append(parts, counted(countsOf(c.Counts))...)
	to := prospectFrom(c.Forecast)
	if left := to.left(now); left != "" {
		parts = append(parts, "about "+left+" left")
	}
	if why := to.why(1); why != "" {
		parts = append(parts, "waiting for "+why)
	}
	if c.State != "sending" {
		parts = append(parts, c.State)
	}
	if len(c.RestingSites) > 0 {
		parts = append(parts, "RESTING (refused by policy): "+strings.Join(c.RestingSites, " "))
	}
	return now.Format("15:04:05") + " " + c.CampaignId + ": " + strings.Join(parts, ", ")
}

// isHeldByAnother reports whether a process that answers holds the directory.
func isHeldByAnother(ctx context.Context, cfg *config.Config, err error) bool {
	return errors.Is(err, ledger.ErrHeld) && control.Answers(ctx, cfg.Data)
}
