package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-mail/penstock/bench/demo"
	"github.com/penstock-mail/penstock/bench/sink"
)

// demonstration runs Penstock as a newcomer would: every step is a command that
// is shown, then run as a process of its own.
type demonstration struct {
	ctx      context.Context
	dir      string
	size     int
	stopAt   time.Duration
	out      *os.File
	program  string
	world    *demo.World
	receiver *exec.Cmd
	steps    int
}

func newDemo() *cobra.Command {
	d := &demonstration{}
	c := &cobra.Command{
		Use:   "demo",
		Short: "Send a real campaign to mail servers on this machine, and watch",
		Long: `Make a campaign of 20,000 recipients and send it to mail servers on this
machine's loopback addresses, which behave like the ones out there: fast ones,
slow ones, some that greylist, turn connections away, or know nobody. It is
stopped half-way, continued, reported and proved. Nothing leaves the machine.

Each step is a command that is shown as you would type it. What it makes stays
in the demo's directory, for you to look around in.`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if d.size < 1 {
				return mistake("--recipients %d: at least 1 is needed", d.size)
			}
			d.ctx = cmd.Context()
			return d.run()
		},
	}
	c.Flags().StringVar(&d.dir, "dir", "demo-data", "make everything in this `directory`; an earlier demo there is removed")
	c.Flags().IntVar(&d.size, "recipients", demo.Recipients, "how `many` there are, about")
	c.Flags().DurationVar(&d.stopAt, "stop-after", 4*time.Second, "interrupt the first send after this `duration`")
	return c
}

func (d *demonstration) run() (err error) {
	d.out = os.Stdout
	if d.program, err = os.Executable(); err != nil {
		return err
	}
	d.say("Penstock's demo: %s recipients at %d mail sites, all on this machine.", count(d.size), len(demo.Sites(d.size)))

	d.step("A campaign and somewhere to send it")
	if d.world, err = demo.Make(d.dir, d.size); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.world.Close()) }()
	if err := d.showWorld(); err != nil {
		return err
	}
	if err := d.startReceiver(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stopReceiver()) }()

	d.step("Find every mistake before anything is sent")
	if _, err := d.shell("check", d.path("campaign.yaml"), "--config", d.path("penstock.yaml")); err != nil {
		return err
	}
	d.step("Send it, and stop it on the way")
	d.say("It gets a SIGTERM after %s: what is on the wire is finished, the rest is kept.\n", span(d.stopAt))
	send := []string{"send", d.path("campaign.yaml"), "--config", d.path("penstock.yaml")}
	code, err := d.interrupted(append(send, ">", d.path("stopped.txt"))...)
	if err != nil {
		return err
	}
	if code == exitStopped {
		d.say("\nIt ended with exit code %d: recipients are left, nobody is lost.", code)
	} else {
		d.say("\nIt ended with exit code %d before it could be stopped.", code)
	}
	d.step("The same command goes on where it was")
	if _, err := d.shell(send...); err != nil {
		return err
	}
	d.step("What became of one recipient")
	address, err := demo.Greylisted(d.dir)
	if err != nil {
		return err
	}
	if _, err := d.shell("recipient", "demo", address, "--data", d.path("ledger")); err != nil {
		return err
	}
	return d.prove()
}

// prove shows that the sender's books and the receiver's agree.
func (d *demonstration) prove() error {
	d.step("Prove it")
	if _, err := d.shell("verify", "--data", d.path("ledger")); err != nil {
		return err
	}
	record, err := os.Open(d.path("arrived.tsv"))
	if err != nil {
		return err
	}
	defer record.Close()
	s, err := sink.Summarise(record)
	if err != nil {
		return err
	}
	d.say("\nThe mail servers wrote down %s messages for %s recipients.\n%s came twice, %s reached another than its To says.",
		count(s.Arrivals), count(s.Recipients), none(len(s.Repeated)), strings.ToLower(none(len(s.Misdirected))))
	d.say("\n%s", d.bold("Everything is in "+d.dir+":"))
	t := newTable(d.out)
	for _, f := range []struct{ name, what string }{
		{"campaign.yaml", "the message, with body.html, body.txt and people.csv"},
		{"penstock.yaml", "the configuration"},
		{"ledger", "the data directory: what became of every recipient"},
		{"sink.yaml, zone.yaml", "how the mail servers behave, and DNS"},
		{"arrived.tsv", "what the mail servers accepted"},
		{"stopped.txt", "the report when it was interrupted"},
	} {
		t.row("  "+f.name, f.what)
	}
	if err := t.flush(); err != nil {
		return err
	}
	d.say("\nGo on with:")
	for _, c := range [][]string{
		{"report", "demo", "--data", d.path("ledger")},
		{"export", "demo", "--data", d.path("ledger"), "--state", "bounced"},
		{"rejects", "demo", "--data", d.path("ledger")},
		{"render", d.path("campaign.yaml"), "--row", "7"},
	} {
		fmt.Fprintln(d.out, "  "+d.typed(c))
	}
	return nil
}

func none(n int) string {
	if n == 0 {
		return "None"
	}
	return count(n)
}

func (d *demonstration) showWorld() error {
	t := newTable(d.out, "  RECIPIENTS", "DOMAIN", "ITS MAIL SERVER")
	for _, s := range d.world.Sites {
		t.row(fmt.Sprintf("  %10s", count(s.Recipients)), strings.Join(s.Domains, ", "), s.Behaviour)
	}
	if err := t.flush(); err != nil {
		return err
	}
	d.say("\nA DNS server for these domains answers at %s.\n", d.world.DNS())
	return nil
}

// startReceiver runs the mail servers in a process of their own, and returns
// when they listen.
func (d *demonstration) startReceiver() error {
	args := []string{"sink", "--script", d.path("sink.yaml"), "--record", d.path("arrived.tsv"), "--stats", d.path("sink.json")}
	shown := append(args[:len(args):len(args)], "--listen", d.world.Listen[0], "--listen", "…")
	for _, l := range d.world.Listen {
		args = append(args, "--listen", l)
	}
	fmt.Fprintln(d.out, d.prompt(shown)+" &")
	d.receiver = d.command(append(args, "--until-eof"))
	// Never written to: it ends when this process does, however that happens.
	if _, err := d.receiver.StdinPipe(); err != nil {
		return err
	}
	d.receiver.Stderr = os.Stderr
	said, err := d.receiver.StdoutPipe()
	if err != nil {
		return err
	}
	if err := d.receiver.Start(); err != nil {
		return err
	}
	if _, err := bufio.NewReader(said).ReadString('\n'); err != nil {
		return errors.Join(errors.New("the receiving server did not start"), d.stopReceiver())
	}
	return nil
}

func (d *demonstration) stopReceiver() error {
	_ = d.receiver.Process.Signal(syscall.SIGTERM) // it may have ended already, which Wait tells
	if err := d.receiver.Wait(); err != nil && d.ctx.Err() == nil {
		return fmt.Errorf("receiving server: %w", err)
	}
	return nil
}

// command is this program, which ends in order when the demo is interrupted.
func (d *demonstration) command(args []string) *exec.Cmd {
	c := exec.CommandContext(d.ctx, d.program, args...)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = time.Minute
	return c
}

// shell shows a command line and runs it; "> FILE" at its end is where standard
// output goes.
func (d *demonstration) shell(args ...string) (code int, err error) {
	return d.exec(args, nil)
}

// interrupted is shell, with a SIGTERM on the way.
func (d *demonstration) interrupted(args ...string) (code int, err error) {
	return d.exec(args, func(p *os.Process) func() bool {
		return time.AfterFunc(d.stopAt, func() { _ = p.Signal(syscall.SIGTERM) }).Stop
	})
}

func (d *demonstration) exec(args []string, meanwhile func(*os.Process) (stop func() bool)) (code int, err error) {
	fmt.Fprintln(d.out, d.prompt(args))
	var out io.Writer = d.out
	if n := len(args); n > 2 && args[n-2] == ">" {
		file, err := os.Create(args[n-1])
		if err != nil {
			return 0, err
		}
		defer file.Close()
		out, args = file, args[:n-2]
	}
	c := d.command(args)
	c.Stdout, c.Stderr = out, os.Stderr
	if err := c.Start(); err != nil {
		return 0, err
	}
	if meanwhile != nil {
		defer meanwhile(c.Process)()
	}
	err = c.Wait()
	code = c.ProcessState.ExitCode()
	switch {
	case d.ctx.Err() != nil:
		return code, &exit{exitStopped, errors.New("the demo was stopped")}
	case code == exitStopped:
		return code, nil
	case err != nil:
		return code, fmt.Errorf("penstock %s: %w", args[0], err)
	}
	return code, nil
}

func (d *demonstration) path(name string) string { return filepath.Join(d.dir, name) }

func (d *demonstration) say(format string, args ...any) {
	fmt.Fprintf(d.out, format+"\n", args...)
}

func (d *demonstration) step(title string) {
	d.steps++
	d.say("\n%s\n", d.bold(strconv.Itoa(d.steps)+". "+title))
}

func (d *demonstration) prompt(args []string) string { return "$ " + d.bold(d.typed(args)) }

// typed is a command line as a person would write it, on several lines if it is
// long.
func (d *demonstration) typed(args []string) string {
	const width = 76
	text, column := "penstock", len("$ penstock")
	for i, a := range args {
		// A flag's value stays beside it, and the file beside >.
		need := len(a) + 1
		if leads(a) && i+1 < len(args) {
			need += len(args[i+1]) + 1
		}
		if column+need > width && !(i > 0 && leads(args[i-1])) {
			text += " \\\n     "
			column = 5
		}
		text += " " + a
		column += len(a) + 1
	}
	return text
}

// leads reports whether a word belongs to the one behind it.
func leads(word string) bool { return strings.HasPrefix(word, "-") || word == ">" }

// bold is text that stands out, where there is a terminal that can show it.
func (d *demonstration) bold(text string) string {
	if !isTerminal(d.out) || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return text
	}
	return "\x1b[1m" + text + "\x1b[0m"
}
