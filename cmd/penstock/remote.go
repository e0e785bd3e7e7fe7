package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock-mail/penstock/engine/control"
)

// Environment variables that stand for flags.
const (
	serverVariable = "PENSTOCK_SERVER"
	tokenVariable  = "PENSTOCK_TOKEN"
)

// remote is a server on this machine or another one, and what is shown to it.
type remote struct{ server, tokenFile, ca, cert, key string }

// clientGroups are the commands that speak to a server, wherever it is; erase
// needs the data directory itself.
var clientGroups = map[string]bool{"steering": true, "asking": true, "keeping": true, "ruling": true}

// reach gives the flags of a client to all commands that are one.
func (f *flags) reach(root *cobra.Command) {
	for _, c := range root.Commands() {
		if clientGroups[c.GroupID] && c.Name() != "erase" {
			f.reaches(c)
		}
	}
}

func (f *flags) reaches(c *cobra.Command) {
	for _, sub := range c.Commands() {
		f.reaches(sub)
	}
	if c.HasSubCommands() {
		return
	}
	r, set := &f.remote, c.Flags()
	set.StringVar(&r.server, "server", "", "ask the server at this `address`: a socket or directory, host:port, or https://host:port (default $"+serverVariable+", else the data directory)")
	set.StringVar(&r.tokenFile, "token-file", "", "a `file` with the token for --server (default $"+tokenVariable+")")
	set.StringVar(&r.ca, "ca", "", "a `file` of authorities for the server's certificate (default: the system's)")
	set.StringVar(&r.cert, "cert", "", "a `file` with a client certificate for --server")
	set.StringVar(&r.key, "key", "", "a `file` with the key of --cert")
}

// address is the server's; empty: the data directory is asked. A data directory
// that is named goes before the variable.
func (f *flags) address() string {
	if f.remote.server != "" || f.data != "" {
		return f.remote.server
	}
	return os.Getenv(serverVariable)
}

func (f *flags) isRemote() bool { return f.address() != "" }

// askServer runs a query against the server that was named.
func (f *flags) askServer(query func(*control.Client) error) error {
	c, err := f.dialServer()
	if err != nil {
		return err
	}
	defer c.Close()
	return f.unreachable(control.Cause(query(c)))
}

// unreachable says what to do about a server that does not answer, or that does
// not know who calls.
func (f *flags) unreachable(err error) error {
	if err == nil {
		return nil
	}
	at := f.address()
	dialled, ok := errors.AsType[*net.OpError](err)
	switch {
	case ok && dialled.Op == "dial":
		return fmt.Errorf("nobody answers at %s: %w: is penstock serve running there? serve.listen says where it listens over TCP", at, dialled.Err)
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return fmt.Errorf("%s does not speak TLS: leave https:// and the certificates out, or set serve.tls there", at)
	case control.Unauthenticated(err) && f.remote.tokenFile == "" && os.Getenv(tokenVariable) == "":
		return fmt.Errorf("%s wants to know who calls: give --token-file or $%s; an admin there makes one with: penstock token create", at, tokenVariable)
	}
	return err
}

// dialServer is a client to the server that was named; Close must follow.
func (f *flags) dialServer() (*control.Client, error) {
	if f.data != "" {
		return nil, mistake("--server and --data name two places to ask: leave one out")
	}
	token, err := f.token()
	if err != nil {
		return nil, err
	}
	c, err := control.DialTarget(control.Target{Address: f.address(), Token: token, CA: f.remote.ca, Cert: f.remote.cert, Key: f.remote.key})
	if err != nil {
		return nil, mistake("%w", err)
	}
	return c, nil
}

func (f *flags) token() (string, error) {
	if f.remote.tokenFile == "" {
		return strings.TrimSpace(os.Getenv(tokenVariable)), nil
	}
	text, err := os.ReadFile(f.remote.tokenFile)
	if err != nil {
		return "", mistake("--token-file: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsAny(token, " \t\r\n") {
		return "", fmt.Errorf("--token-file %s: want one token and nothing else", f.remote.tokenFile)
	}
	return token, nil
}
