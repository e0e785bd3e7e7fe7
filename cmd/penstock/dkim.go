package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock-mail/penstock/engine/compose/dkim"
	"github.com/penstock-mail/penstock/engine/compose/dkim/verify"
)

func newDKIM(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "dkim",
		Short: "Make DKIM keys and check signatures",
		Args:  commands,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(newKeygen(), newVerifyMessage(f))
	return c
}

func newKeygen() *cobra.Command {
	var domain, selector, output string
	var ed25519 bool
	var bits int
	c := &cobra.Command{
		Use:   "keygen --domain DOMAIN --selector SELECTOR",
		Short: "Make a key pair: the private key in a file, the public one as a DNS record",
		Long: `Make a key to sign with. The private key goes into a new file that only you can
read; the DNS record to publish is printed. Every receiver takes RSA with 2048
bits, and Penstock signs with it fastest; --ed25519 is shorter, and not yet taken
by all: use it beside an RSA key.`,
		Example: `  penstock dkim keygen --domain example.com --selector s2026
  penstock dkim keygen --domain example.com --selector ed2026 --ed25519`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			kind, known := map[int]dkim.Kind{2048: dkim.RSA2048, 3072: dkim.RSA3072, 4096: dkim.RSA4096}[bits]
			switch {
			case domain == "" || selector == "":
				return mistake("--domain and --selector are needed; see: %s --help", cmd.CommandPath())
			case ed25519 && cmd.Flags().Changed("bits"):
				return mistake("--bits is for RSA: an Ed25519 key has one size")
			case ed25519:
				kind = dkim.Ed25519
			case !known:
				return mistake("--bits %d: want 2048, 3072 or 4096", bits)
			}
			g, err := dkim.Generate(domain, selector, kind)
			if err != nil {
				return &exit{exitMistakes, err}
			}
			if output == "" {
				output = selector + "." + domain + ".pem"
			}
			if err := writeNew(output, g.PEM); err != nil {
				return fmt.Errorf("private key: %w", err)
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "The private key is in %s: keep it secret.\n\nPublish this TXT record:\n\n", output)
			fmt.Fprintf(out, "name   %s\nvalue  %s\n\nor, as a line of a zone file:\n\n%s\n", g.Name, g.Record, g.ZoneLine())
			return nil
		},
	}
	c.Flags().StringVar(&domain, "domain", "", "the signing `domain`, d= in signatures")
	c.Flags().StringVar(&selector, "selector", "", "a `name` for this key, s= in signatures")
	c.Flags().BoolVar(&ed25519, "ed25519", false, "an Ed25519 key instead of an RSA one")
	c.Flags().IntVar(&bits, "bits", dkim.MinRSABits, "size of the RSA key: 2048, 3072 or 4096")
	c.Flags().StringVarP(&output, "output", "o", "", "the `file` to make (default SELECTOR.DOMAIN.pem)")
	return c
}

// writeNew makes a file that its owner alone can read; one that is there stays.
func writeNew(path string, text []byte) (err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Sync(), file.Close())
}

func newVerifyMessage(f *flags) *cobra.Command {
	var record string
	c := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check the DKIM signatures of a message, - for standard input",
		Long: `Check every DKIM signature of a message, such as one that penstock render wrote
or that arrived somewhere. The public key is looked up in DNS; with --record it
is taken from a file instead, so that a key can be tried before it is published.

Exit codes: 0 all signatures are valid, 1 one is not or there is none.`,
		Example: `  penstock render campaign.yaml | penstock dkim verify -`,
		Args:    takes("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			lookup, err := f.txt(cmd.Context(), record)
			if err != nil {
				return err
			}
			message, err := readMessage(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			results, err := verify.Message(bytes.NewReader(message), lookup)
			if err != nil {
				return err
			}
			return printVerified(cmd.OutOrStdout(), results)
		},
	}
	c.Flags().StringVar(&record, "record", "", "a `file` with the TXT record, instead of DNS")
	f.add(c, "config", "dns")
	return c
}

func readMessage(stdin io.Reader, path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(path)
}

func printVerified(w io.Writer, results []verify.Result) error {
	if len(results) == 0 {
		return errors.New("the message has no DKIM signature")
	}
	bad := 0
	for i, r := range results {
		domain := r.Domain
		if domain == "" {
			domain = "(no domain)"
		}
		switch {
		case r.Err == nil:
			fmt.Fprintf(w, "signature %d, %s: valid; covers %s\n", i+1, domain, strings.Join(r.Fields, ", "))
			continue
		case r.Temporary():
			fmt.Fprintf(w, "signature %d, %s: could not be judged: %v\n", i+1, domain, r.Err)
		default:
			fmt.Fprintf(w, "signature %d, %s: NOT VALID: %v\n", i+1, domain, r.Err)
		}
		bad++
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d signatures did not verify", bad, len(results))
	}
	return nil
}

// txt is where public keys come from: a file, the resolvers configured, or the
// system's.
func (f *flags) txt(ctx context.Context, record string) (verify.Lookup, error) {
	if record != "" {
		text, err := os.ReadFile(record)
		if err != nil {
			return nil, err
		}
		return func(string) ([]string, error) { return []string{strings.TrimSpace(string(text))}, nil }, nil
	}
	cfg, err := f.load()
	if err != nil {
		return nil, err
	}
	resolver := &net.Resolver{}
	if servers := cfg.DNS.Servers; len(servers) > 0 {
		next := 0 // questions come one after another
		resolver.PreferGo = true
		resolver.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			server := servers[next%len(servers)]
			next++
			return d.DialContext(ctx, network, server)
		}
	}
	return func(name string) ([]string, error) { return resolver.LookupTXT(ctx, name) }, nil
}
