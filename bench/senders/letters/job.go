package letters

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/penstock-mail/penstock/bench/stats"
)

// Domain and Selector are what scenarios sign with.
const (
	Domain   = "sender.test"
	Selector = "bench"
)

// Job is what a peer is asked to send, from its command line.
type Job struct {
	Letters *Letters
	// Sink is where to: host:port.
	Sink string
	// Connections at most.
	Connections int
	// Key signs; nil: unsigned.
	Key crypto.Signer
	// KeyFile is where Key was read from.
	KeyFile string
	// Stats is the file that gets the figures; see package stats.
	Stats string
}

// Flags defines a job's flags, and returns what reads the files that they name.
func (j *Job) Flags(set *flag.FlagSet) (read func() error) {
	people := set.String("people", "", "CSV `file` of recipients")
	body := set.String("body", "", "HTML `file`")
	set.StringVar(&j.Sink, "sink", "", "`host:port` to send to")
	set.IntVar(&j.Connections, "connections", 50, "at most")
	set.StringVar(&j.KeyFile, "key", "", "PEM `file`: sign with it")
	set.StringVar(&j.Stats, "stats", "", "`file` for figures")
	return func() (err error) {
		if j.Connections < 1 {
			return errors.New("connections: must be positive")
		}
		if j.Letters, err = Open(*people, *body); err != nil || j.KeyFile == "" {
			return err
		}
		j.Key, err = readKey(j.KeyFile)
		return err
	}
}

func readKey(path string) (crypto.Signer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("key: %s is not PEM", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("key: %s: %w", path, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("key: %s: a %T does not sign", path, key)
	}
	return signer, nil
}

// Connection is one session of a library that sends.
type Connection interface {
	// Send sends the n-th letter, and returns when it is accepted.
	Send(n int) error
	// Close ends the session.
	Close() error
}

// Main is a peer's whole program: it sends every letter over as many
// connections as it may have, and leaves its figures.
func Main(name string, open func(*Job) (Connection, error)) {
	if err := run(name, os.Args[1:], open); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

func run(name string, args []string, open func(*Job) (Connection, error)) error {
	j := new(Job)
	set := flag.NewFlagSet(name, flag.ContinueOnError)
	read := j.Flags(set)
	if err := set.Parse(args); err != nil {
		return err
	}
	figures := stats.New(name, "")
	load := stats.Begin()
	if err := read(); err != nil {
		return err
	}
	figures.Load, figures.Recipients = load.End(), int64(len(j.Letters.People))
	send := stats.Begin()
	if err := j.SendAll(open); err != nil {
		return err
	}
	figures.Send, figures.Sent = send.End(), figures.Recipients
	return figures.Write(j.Stats)
}

// SendAll sends every letter once, each connection taking the next one. The
// first error ends it.
func (j *Job) SendAll(open func(*Job) (Connection, error)) error {
	var next atomic.Int64
	var failed atomic.Bool
	errs := make([]error, j.Connections)
	var workers sync.WaitGroup
	for w := range errs {
		workers.Go(func() {
			if errs[w] = j.share(open, &next, &failed); errs[w] != nil {
				failed.Store(true)
			}
		})
	}
	workers.Wait()
	return errors.Join(errs...)
}

func (j *Job) share(open func(*Job) (Connection, error), next *atomic.Int64, failed *atomic.Bool) error {
	c, err := open(j)
	if err != nil {
		return err
	}
	for n := int(next.Add(1)) - 1; n < len(j.Letters.People) && !failed.Load(); n = int(next.Add(1)) - 1 {
		if err := c.Send(n); err != nil {
			return fmt.Errorf("letter %d: %w", n, err)
		}
	}
	return c.Close()
}
