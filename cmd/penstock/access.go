package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	"github.com/penstock-mail/penstock/engine/config"
	"github.com/penstock-mail/penstock/engine/control"
	"github.com/penstock-mail/penstock/engine/ledger"
)

// A data directory belongs to one process at a time. One that sends serves a
// socket; one that asks holds the directory for a moment and does not; one that
// starts or ends has not opened its socket yet, or has closed it already. So who
// finds it held and nobody answering comes again a little later.
const (
	heldPatience = 5 * time.Second
	heldAgain    = 50 * time.Millisecond
)

// whileHeld tries open until the directory is free, held by a process that
// answers, or out of patience; the last two end with open's error, and the end of
// ctx with its own.
func whileHeld(ctx context.Context, dir string, open func() error) error {
	for deadline := time.Now().Add(heldPatience); ; {
		err := open()
		if !errors.Is(err, ledger.ErrHeld) || control.Answers(ctx, dir) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-time.After(heldAgain):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ask runs a query against the data directory, held by another process or not,
// or against the server that --server names.
func (f *flags) ask(ctx context.Context, query func(*control.Client) error) error {
	if f.isRemote() {
		return f.askServer(query)
	}
	cfg, err := f.load()
	if err != nil {
		return err
	}
	c, done, err := client(ctx, cfg)
	if err != nil {
		return err
	}
	err = query(c)
	done()
	var refused *net.OpError
	if errors.As(err, &refused) && refused.Op == "dial" {
		// The holder ended between two calls: now the directory is free.
		if c, done, err = client(ctx, cfg); err != nil {
			return err
		}
		err = query(c)
		done()
	}
	return control.Cause(err)
}

// client gives access to the ledger: through the process that holds the data
// directory, or by opening it here. done must be called.
func client(ctx context.Context, cfg *config.Config) (c *control.Client, done func(), err error) {
	var led *ledger.Ledger
	err = whileHeld(ctx, cfg.Data, func() (err error) {
		led, err = openLedger(cfg)
		return err
	})
	switch {
	case errors.Is(err, ledger.ErrHeld) && control.Answers(ctx, cfg.Data):
		c = control.Dial(cfg.Data)
		return c, c.Close, nil
	case errors.Is(err, ledger.ErrHeld):
		return nil, nil, fmt.Errorf("%w, which does not answer at %s", err, control.SocketName)
	case err != nil:
		return nil, nil, err
	}
	c = control.Local(led)
	return c, func() {
		c.Close()
		if err := led.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "penstock: close data directory:", err)
		}
	}, nil
}

// openLedger opens a data directory that must exist already; an empty directory
// is none, and asking must not make one of it.
func openLedger(cfg *config.Config) (*ledger.Ledger, error) {
	if entries, err := os.ReadDir(cfg.Data); errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil, fmt.Errorf("there is no data directory %s: penstock send makes it; --data names another one", cfg.Data)
	}
	return ledger.Open(cfg.Data, ledger.Options{CacheBytes: cfg.Ledger.Cache})
}
