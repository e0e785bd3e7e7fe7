package bench

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/penstock-mail/penstock/bench/nameserver"
	"github.com/penstock-mail/penstock/bench/sink"
	"github.com/penstock-mail/penstock/bench/stats"
)

// Sample is one run of one program. Times are in seconds, CPU in microseconds a
// message, other figures a message or recipient too where they say so.
type Sample struct {
	// Messages were accepted by the sink.
	Messages int64 `json:"messages"`
	// Wall is the sender's whole life; Sending from the first to the last
	// message that the sink accepted.
	Wall    float64 `json:"wall_s"`
	Sending float64 `json:"sending_s"`
	// PerSecond is messages in Sending, EndToEnd in Wall.
	PerSecond float64 `json:"messages_per_second"`
	EndToEnd  float64 `json:"end_to_end_per_second"`
	// CPU is the sender's, loading included; SendCPU and LoadCPU as it says
	// itself; SinkCPU is the receiver's.
	CPU     float64 `json:"cpu_us"`
	SendCPU float64 `json:"send_cpu_us,omitempty"`
	LoadCPU float64 `json:"load_cpu_us,omitempty"`
	SinkCPU float64 `json:"sink_cpu_us"`
	// Allocations a message while sending.
	Allocations float64 `json:"allocations,omitempty"`
	// PeakMB is the sender's resident memory, in 10^6 octets.
	PeakMB float64 `json:"peak_mb"`
	// RoundTrips the sender waited for, a message.
	RoundTrips float64 `json:"round_trips"`
	// MaxConnections open at once.
	MaxConnections int64 `json:"max_connections"`
	// Size is content octets a message as they arrived.
	Size float64 `json:"size"`
	// Written is octets a recipient that the sender wrote to disk, as the
	// system counts; Syncs is fdatasyncs a recipient as the sender counts.
	Written float64 `json:"written_bytes"`
	Syncs   float64 `json:"syncs,omitempty"`
	// Improper is commands sent where the sender had to wait: must be 0.
	Improper int64 `json:"improper"`

	Sink   *sink.Stats   `json:"sink"`
	Sender *stats.Sender `json:"sender,omitempty"`
}

// run measures one program once. dir is emptied of what the run leaves.
func (r *runner) run(ctx context.Context, s *Scenario, w *workplace, p *Program) (sample *Sample, err error) {
	dir, err := os.MkdirTemp(w.dir, "run-")
	if err != nil {
		return nil, err
	}
	if !r.options.Keep {
		defer os.RemoveAll(dir)
	}
	command := &Command{
		Campaign: w.campaign, People: w.people, Message: w.message, Dir: dir, Recipients: s.Recipients, Connections: s.Connections,
		Size: s.Size, First: "u0@" + s.domain(0), LoadOnly: s.LoadOnly, Stream: s.Stream,
		Body: filepath.Join(w.dir, "body.html"), Senders: r.options.Senders, Source: p.Source, Built: p.Built,
		Config: filepath.Join(dir, "penstock.yaml"), Data: filepath.Join(dir, "data"), Stats: filepath.Join(dir, "stats.json"),
	}
	if s.DKIM != "" {
		command.Key = filepath.Join(w.dir, "dkim.pem")
	}
	// The name server is the harness's own: its CPU counts for neither side.
	if s.Sites > 1 {
		ns, err := nameserver.Start("", &nameserver.Zone{Generate: []nameserver.Generator{{Suffix: bulk, Domains: s.Domains, Hosts: s.Sites, Network: "127.16.0.0/11"}}})
		if err != nil {
			return nil, err
		}
		defer ns.Close()
		command.DNS = ns.Addr()
	}
	receiver, err := r.startSink(s, w, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = firstError(err, receiver.kill()) }()
	command.Sink = receiver.addr
	if command.Host, command.Port, err = net.SplitHostPort(receiver.addr); err != nil {
		return nil, err
	}
	if err := writeYAML(command.Config, s.configuration(receiver.addr, command.Port, command.DNS)); err != nil {
		return nil, err
	}
	words, err := command.words(p.Command)
	if err == nil && s.Campaigns > 1 {
		words, err = many(p, words, w.campaigns, command)
	}
	if err != nil {
		return nil, err
	}
	began := time.Now()
	state, err := r.send(ctx, s, p, dir, words, command.Data)
	if err != nil {
		return nil, err
	}
	wall := time.Since(began)
	arrived, sinkState, err := receiver.stop()
	if err != nil {
		return nil, err
	}
	sample = &Sample{Messages: arrived.Accepted, Wall: wall.Seconds(), Sink: arrived, Improper: arrived.Improper, MaxConnections: arrived.MaxConnections}
	arrived.Listeners = nil // a table of thousands tells nothing here
	if sample.Sender, err = stats.Read(command.Stats); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return sample, sample.work(s, state, sinkState)
}

// work derives the figures from what was counted.
func (m *Sample) work(s *Scenario, sender, receiver *os.ProcessState) error {
	n := float64(m.Messages)
	if s.LoadOnly {
		n = float64(s.Recipients)
	} else if m.Messages < int64(s.Recipients) {
		return fmt.Errorf("the sink accepted %d of %d messages", m.Messages, s.Recipients)
	}
	if n == 0 {
		return errors.New("nothing arrived")
	}
	if m.Sender != nil && m.Sender.Recipients != int64(s.Recipients) {
		return fmt.Errorf("the sender loaded %d of %d recipients", m.Sender.Recipients, s.Recipients)
	}
	m.EndToEnd = n / m.Wall
	m.PerSecond = m.EndToEnd
	if m.Sending = (m.Sink.Last - m.Sink.First).Seconds(); m.Sending > 0 {
		m.PerSecond = (n - 1) / m.Sending
	}
	m.CPU = micros(sender) / n
	if m.Sender != nil {
		m.CPU -= m.Sender.Aside.Seconds() * 1e6 / n
	}
	m.SinkCPU = micros(receiver) / n
	m.RoundTrips = float64(m.Sink.Flights) / n
	m.Size = float64(m.Sink.ContentBytes) / n
	if u, ok := sender.SysUsage().(*syscall.Rusage); ok {
		m.PeakMB = float64(u.Maxrss) * 1024 / 1e6
		m.Written = float64(u.Oublock) * 512 / n
	}
	if t := m.Sender; t != nil {
		if t.PeakBytes > 0 {
			m.PeakMB = float64(t.PeakBytes) / 1e6
		}
		m.LoadCPU = t.Load.CPU().Seconds() * 1e6 / n
		m.SendCPU = t.Send.CPU().Seconds() * 1e6 / n
		m.Allocations = float64(t.Send.Mallocs) / n
		m.Syncs = float64(t.Ledger.Syncs) / n
	}
	return nil
}

func micros(p *os.ProcessState) float64 {
	return float64(p.UserTime()+p.SystemTime()) / float64(time.Microsecond)
}

// send runs the sender to its end.
func (r *runner) send(ctx context.Context, s *Scenario, p *Program, dir string, words []string, data string) (*os.ProcessState, error) {
	c := exec.CommandContext(ctx, words[0], words[1:]...)
	c.Dir = dir
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = 30 * time.Second
	c.Env = os.Environ()
	for name, value := range s.Env {
		c.Env = append(c.Env, name+"="+value)
	}
	if r.options.Profile != "" {
		name := strings.ReplaceAll(s.Name+"-"+p.Name, "/", "-") + ".pprof"
		c.Env = append(c.Env, stats.ProfileEnv+"="+filepath.Join(r.options.Profile, name))
	}
	c.Env = append(c.Env, r.options.Env...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Start()
	if err == nil {
		asking, stop := context.WithCancel(ctx)
		var asks sync.WaitGroup
		if s.Campaigns > 1 {
			asks.Go(func() { stopWhenFinished(asking, c, s.Campaigns, data) })
		}
		err = c.Wait()
		stop()
		asks.Wait()
	}
	if ctx.Err() != nil {
		return nil, ctx.Err() // whatever it made of being stopped
	}
	if exit := new(exec.ExitError); errors.As(err, &exit) && s.LoadOnly && exit.ExitCode() == exitPending {
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", words[0], err, lastLine(out.String()))
	}
	return c.ProcessState, nil
}

// exitPending is how Penstock ends with recipients left to send to.
const exitPending = 3

// receiver is a sink's process.
type receiver struct {
	cmd   *exec.Cmd
	addr  string
	stats string
	ended bool
}

func (r *runner) startSink(s *Scenario, w *workplace, dir string) (*receiver, error) {
	listen := "127.0.0.1:0"
	if s.Sites > 1 {
		listen = "0.0.0.0:0" // all of 127.0.0.0/8; --local-only keeps others out
	}
	loops := cmp.Or(r.options.SinkLoops, s.SinkLoops)
	v := &receiver{stats: filepath.Join(dir, "sink.json")}
	args := append(r.options.Sink[1:len(r.options.Sink):len(r.options.Sink)],
		"--listen", listen, "--script", w.script, "--stats", v.stats, "--local-only", "--plain=false", "--until-eof", "--loops", strconv.Itoa(loops))
	v.cmd = exec.Command(r.options.Sink[0], args...)
	v.cmd.Env = append(os.Environ(), r.options.SinkEnv...)
	var stderr bytes.Buffer
	v.cmd.Stderr = &stderr
	stdout, err := v.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	// Never written to: it closes when this process ends, even by a kill.
	if _, err := v.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := v.cmd.Start(); err != nil {
		return nil, fmt.Errorf("sink: %w", err)
	}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	var l listening
	if err == nil {
		err = json.Unmarshal(line, &l)
	}
	if err != nil || len(l.Listening) == 0 {
		v.kill()
		return nil, fmt.Errorf("sink: no address: %w: %s", err, lastLine(stderr.String()))
	}
	v.addr = l.Listening[0]
	return v, nil
}

// stop ends the process and reads what it counted.
func (v *receiver) stop() (*sink.Stats, *os.ProcessState, error) {
	v.ended = true
	if err := v.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return nil, nil, fmt.Errorf("sink: %w", err)
	}
	if err := v.cmd.Wait(); err != nil {
		return nil, nil, fmt.Errorf("sink: %w", err)
	}
	text, err := os.ReadFile(v.stats)
	if err != nil {
		return nil, nil, fmt.Errorf("sink: %w", err)
	}
	st := new(sink.Stats)
	if err := json.Unmarshal(text, st); err != nil {
		return nil, nil, fmt.Errorf("sink: counts: %w", err)
	}
	return st, v.cmd.ProcessState, nil
}

// kill ends a process that stop did not.
func (v *receiver) kill() error {
	if v.ended {
		return nil
	}
	v.ended = true
	if err := v.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("sink: %w", err)
	}
	v.cmd.Wait()
	return nil
}
