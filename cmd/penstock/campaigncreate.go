package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

const (
	// intakeEvery is how often it is asked how far a load has come.
	intakeEvery = 100 * time.Millisecond
	// servePatience is how long a process that serves may take to answer.
	servePatience = 3 * time.Second
)

func newCampaignCreate(f *flags) *cobra.Command {
	var start, onServer bool
	c := &cobra.Command{
		Use:   "create CAMPAIGN.yaml",
		Short: "Hand a campaign and its files to the process that serves; run it again to go on",
		Long: `Hand a campaign to the process that serves: the campaign file, the files that go
into its messages, and its recipients and suppression lists, which are uploaded.
When all is there it is loaded, as a whole or not at all. Nothing is sent before
somebody says start.

A connection that breaks is made again; when the command itself was stopped, run
it again: it goes on behind what the server has on disk. Recipients may come from
standard input ("recipients: \"-\"").

DKIM keys are not sent: they lie on the server's machine.

Exit codes:
  0  the campaign is loaded
  1  something failed; what was uploaded stays on the server
  2  the campaign is wrong, or its id was used for another one
  3  stopped; what was uploaded stays on the server`,
		Example: `  penstock campaign create spring.yaml --start
  zcat people.csv.gz | penstock campaign create piped.yaml
  penstock campaign create spring.yaml --server-files`,
		Args: takes("CAMPAIGN.yaml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.formatIs("table", "json"); err != nil {
				return err
			}
			p, err := pack(args[0], onServer)
			if err != nil {
				return err
			}
			p.request.Start = start
			return f.toServer(cmd.Context(), func(c *control.Client) error {
				if err := f.handIn(cmd.Context(), c, p); err != nil {
					return err
				}
				if f.quiet {
					return nil
				}
				res, err := patiently(cmd.Context(), uploadPatience, func() (*pb.GetCampaignResponse, error) {
					return c.GetCampaign(cmd.Context(), &pb.GetCampaignRequest{CampaignId: p.id})
				})
				if err != nil {
					return err
				}
				if f.format == "json" {
					return printJSON(cmd.OutOrStdout(), res.Campaign)
				}
				return printCampaign(cmd.OutOrStdout(), res.Campaign)
			})
		},
	}
	c.Flags().BoolVar(&start, "start", false, "begin to send when it is loaded")
	c.Flags().BoolVar(&onServer, "server-files", false, "upload nothing: all files lie on the server's machine, below its intake.folder")
	f.add(c, "config", "data", "format", "quiet")
	return c
}

func newCampaignDrop(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "drop ID",
		Short: "Give up a campaign that is not loaded yet, with all that was uploaded",
		Args:  takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.ask(cmd.Context(), func(c *control.Client) error {
				if _, err := c.DropIntake(cmd.Context(), &pb.DropIntakeRequest{CampaignId: args[0]}); err != nil {
					return err
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "campaign %s: dropped\n", args[0])
				return err
			})
		},
	}
	f.add(c, "config", "data")
	return c
}

// handIn creates a campaign, uploads its lists and waits until it is loaded.
func (f *flags) handIn(ctx context.Context, c *control.Client, p *parcel) error {
	res, err := p.create(ctx, c)
	if err != nil {
		if problems := p.mistakes(err); problems != nil {
			return problems
		}
		if control.Exists(err) {
			return &exit{exitMistakes, control.Cause(err)}
		}
		return err
	}
	p.id = res.Intake.CampaignId
	if !f.quiet && !p.warned {
		printProblems(os.Stderr, p.problems(res.Warnings))
	}
	shown := f.newHandedIn()
	defer shown.clear()
	for _, file := range res.Intake.Files {
		if file.Complete {
			continue
		}
		if err := p.upload(ctx, c, file, shown); err != nil {
			if ctx.Err() != nil {
				shown.clear()
				if !f.quiet {
					fmt.Fprintf(os.Stderr, "stopped: what was uploaded of campaign %s stays; the same command goes on, penstock campaign drop %s gives it up\n", p.id, p.id)
				}
				return &exit{code: exitStopped}
			}
			return err
		}
	}
	return p.awaitLoaded(ctx, c, shown)
}

// toServer is ask for what only a process that serves can do: the data directory
// is not opened in its place, as it may just be starting anew.
func (f *flags) toServer(ctx context.Context, query func(*control.Client) error) error {
	if f.isRemote() {
		return f.askServer(query)
	}
	cfg, err := f.load()
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(servePatience); !control.Answers(ctx, cfg.Data); {
		if time.Now().After(deadline) {
			return fmt.Errorf("nobody answers for the data directory %s: start penstock serve", cfg.Data)
		}
		select {
		case <-time.After(heldAgain):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	c := control.Dial(cfg.Data)
	defer c.Close()
	return control.Cause(query(c))
}

// create asks again when the answer did not come: the same campaign can be
// created as often as one likes. A server that is not there at all is not waited
// for longer than one takes to start anew.
func (p *parcel) create(ctx context.Context, c *control.Client) (*pb.CreateCampaignResponse, error) {
	res, err := c.CreateCampaign(ctx, p.request)
	if dialled, ok := errors.AsType[*net.OpError](err); ok && dialled.Op == "dial" {
		return patiently(ctx, heldPatience, func() (*pb.CreateCampaignResponse, error) { return c.CreateCampaign(ctx, p.request) })
	}
	if err == nil || !control.Transient(err) || control.Crowded(err) {
		return res, err
	}
	return patiently(ctx, uploadPatience, func() (*pb.CreateCampaignResponse, error) { return c.CreateCampaign(ctx, p.request) })
}

// patiently calls until there is an answer, or nobody has had one to give for so
// long.
func patiently[T any](ctx context.Context, patience time.Duration, call func() (T, error)) (T, error) {
	for began := time.Now(); ; {
		res, err := call()
		if err == nil || ctx.Err() != nil || !control.Transient(err) || time.Since(began) > patience {
			return res, err
		}
		select {
		case <-time.After(heldAgain):
		case <-ctx.Done():
			return res, err
		}
	}
}

func (p *parcel) upload(ctx context.Context, c *control.Client, file *pb.IntakeFile, shown *handedIn) error {
	from, err := openList(p.lists[file.Name])
	if err != nil {
		return err
	}
	u := &upload{client: c, id: p.id, name: file.Name, list: from, shown: func(stored uint64) { shown.uploaded(file, stored) }}
	return errors.Join(u.run(ctx, file.Stored), from.Close())
}

// awaitLoaded asks now and then, also while the server starts anew.
func (p *parcel) awaitLoaded(ctx context.Context, c *control.Client, shown *handedIn) error {
	tick := time.NewTicker(intakeEvery)
	defer tick.Stop()
	var lost time.Time // since when it does not answer
	for {
		res, err := c.GetIntake(ctx, &pb.GetIntakeRequest{CampaignId: p.id})
		switch {
		case ctx.Err() != nil:
			return &exit{code: exitStopped, err: fmt.Errorf("campaign %s is being loaded by the process that serves", p.id)}
		case control.NotFound(err):
			// It was there from a file, before it was created, and has no intake.
			_, err := patiently(ctx, uploadPatience, func() (*pb.GetCampaignResponse, error) {
				return c.GetCampaign(ctx, &pb.GetCampaignRequest{CampaignId: p.id})
			})
			return err
		case err != nil && control.Transient(err):
			if lost.IsZero() {
				lost = time.Now()
			}
			if time.Since(lost) > uploadPatience {
				return err
			}
		case err != nil:
			return err
		default:
			lost = time.Time{}
			switch in := res.Intake; in.State {
			case "loaded":
				return nil
			case "broken":
				return p.problems(in.Problems)
			default:
				shown.loading(in)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// handedIn shows how far a campaign has come: in one line on a terminal, in one
// every few seconds elsewhere.
type handedIn struct {
	out      io.Writer // nil: nothing is shown
	live     bool
	every    time.Duration
	last     time.Time
	unclear  bool // something stands on the line
	waitsFor string
}

func (f *flags) newHandedIn() *handedIn {
	h := &handedIn{last: time.Now(), every: linesEvery}
	if f.quiet {
		return h
	}
	h.out = os.Stderr
	if isTerminal(os.Stderr) {
		h.live, h.every = true, liveEvery
	}
	return h
}

func (h *handedIn) show(text string) {
	if h.out == nil || time.Since(h.last) < h.every {
		return
	}
	h.last = time.Now()
	if h.live {
		h.unclear = true
		fmt.Fprintf(h.out, "\r%s\x1b[K", text)
		return
	}
	fmt.Fprintln(h.out, text)
}

func (h *handedIn) clear() {
	if h.unclear {
		h.unclear = false
		fmt.Fprint(h.out, "\r\x1b[K")
	}
}

func (h *handedIn) uploaded(file *pb.IntakeFile, stored uint64) {
	text := "uploading " + file.Name + ": " + octets(stored)
	if file.Size != nil && *file.Size > 0 {
		text += " of " + octets(*file.Size) + " (" + share(stored, *file.Size) + ")"
	}
	h.show(text)
}

func (h *handedIn) loading(in *pb.Intake) {
	for _, p := range in.Problems {
		if h.out != nil && p.Message != h.waitsFor {
			h.clear()
			h.waitsFor = p.Message
			fmt.Fprintln(h.out, p.Message)
		}
	}
	h.show(fmt.Sprintf("loading: %s rows, %s rejected", count(in.Rows), count(in.Rejected)))
}

// onItsWay reports whether a campaign is not loaded yet.
func onItsWay(c *pb.Campaign) bool {
	return c.State == "receiving" || c.State == "loading" || c.State == "broken"
}

// printIntake shows what is there of a campaign that is not loaded yet.
func printIntake(w io.Writer, in *pb.Intake) error {
	for _, f := range in.Files {
		line := fmt.Sprintf("  %s: %s", f.Name, octets(f.Stored))
		switch {
		case f.Complete:
			line += ", complete"
		case f.Size != nil:
			line += " of " + octets(*f.Size)
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	p := &parcel{path: "definition"}
	for _, problem := range p.problems(in.Problems) {
		if _, err := fmt.Fprintln(w, problem.Error()); err != nil {
			return err
		}
	}
	return nil
}
