package demo

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/penstock-mail/penstock/bench/nameserver"
)

//go:embed files
var files embed.FS

// Site is one destination of the campaign.
type Site struct {
	// Domains are the recipients' domains; they share Recipients equally.
	Domains    []string
	Recipients int
	// Behaviour in a few words.
	Behaviour string
}

// sites are where the campaign goes, with their share of Recipients.
var sites = []Site{
	{[]string{"birch.test", "larch.test"}, 9000, "one fast pair of servers for both"},
	{[]string{"far.test"}, 3000, "150 ms away"},
	{[]string{"slow.test"}, 1500, "old: no pipelining, 100 ms a message"},
	{[]string{"narrow.test"}, 2500, "takes 4 connections, 421 to the others"},
	{[]string{"grey.test"}, 2000, "greylists: come back after 3 seconds"},
	{[]string{"picky.test"}, 1500, "knows not everybody, some are full"},
	{[]string{"spare.test"}, 200, "its first server is down"},
	{[]string{"nomail.test"}, 200, "accepts no mail, says DNS (null MX)"},
	{[]string{"nowhere.test"}, 100, "does not exist"},
}

// Recipients is how many there are when nobody says otherwise.
const Recipients = 20_000

// Sites are where a campaign of about so many recipients goes: each site has at
// least one for each of its domains.
func Sites(recipients int) []Site {
	scaled := make([]Site, len(sites))
	for i, s := range sites {
		s.Recipients = max(len(s.Domains), s.Recipients*recipients/Recipients)
		scaled[i] = s
	}
	return scaled
}

// hosts are the addresses of sink.yaml and zone.yaml that take mail.
var hosts = []string{"127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6", "127.0.0.7", "127.0.0.8", "127.0.0.9"}

// World is a directory with everything that the demo needs, and a DNS server.
type World struct {
	// Dir is where everything lies.
	Dir string
	// Sites are where the campaign goes.
	Sites []Site
	// Listen are the addresses that the receiving server is to listen on, all
	// at one port, since MX records have none.
	Listen []string

	dns *nameserver.Server
}

// mark begins a configuration that this package wrote.
const mark = "# Made by penstock demo."

// ErrForeign says that a directory holds something else than an earlier demo.
var ErrForeign = errors.New("is there and holds no demo")

// Make clears dir of an earlier demo, writes a campaign of so many recipients into
// it and starts the DNS server. Close must follow.
func Make(dir string, recipients int) (*World, error) {
	if err := clearDir(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	w := &World{Dir: dir, Sites: Sites(recipients)}
	for _, h := range hosts {
		w.Listen = append(w.Listen, net.JoinHostPort(h, strconv.Itoa(port)))
	}
	if err := unpack(dir, "zone.yaml", nil); err != nil {
		return nil, err
	}
	zone, err := nameserver.LoadZone(w.Path("zone.yaml"))
	if err != nil {
		return nil, err
	}
	if w.dns, err = nameserver.Start("127.0.0.1:0", zone); err != nil {
		return nil, err
	}
	if err := w.write(port); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// write fills the directory with what Penstock and the receiving server read.
func (w *World) write(port int) error {
	values := strings.NewReplacer("@DNS@", w.dns.Addr(), "@PORT@", strconv.Itoa(port))
	for _, name := range []string{"campaign.yaml", "penstock.yaml", "sink.yaml", "body.html", "body.txt"} {
		if err := unpack(w.Dir, name, values); err != nil {
			return err
		}
	}
	return writePeople(w.Dir, w.Sites)
}

// DNS is the name server's address.
func (w *World) DNS() string { return w.dns.Addr() }

// Path is a file of the demo.
func (w *World) Path(name string) string { return filepath.Join(w.Dir, name) }

// Close stops the DNS server; the files stay.
func (w *World) Close() error { return w.dns.Close() }

// clearDir removes what an earlier demo left, and nothing else.
func clearDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(dir, "penstock.yaml"))
	if err != nil || !bytes.HasPrefix(text, []byte(mark)) {
		return fmt.Errorf("%s %w: name another directory with --dir", dir, ErrForeign)
	}
	return os.RemoveAll(dir)
}

func unpack(dir, name string, values *strings.Replacer) error {
	text, err := files.ReadFile("files/" + name)
	if err != nil {
		return err
	}
	if values != nil {
		text = []byte(values.Replace(string(text)))
	}
	return os.WriteFile(filepath.Join(dir, name), text, 0o644)
}

// preferredPort is what the demo's mail servers listen on where it is free.
const preferredPort = 2525

// freePort finds a port that is free at every host.
func freePort() (int, error) {
	var last error
	for attempt := range 20 {
		port := preferredPort
		if attempt > 0 {
			port = 0
		}
		port, err := tryPort(port)
		if err == nil {
			return port, nil
		}
		last = err
	}
	return 0, fmt.Errorf("no port is free at %s to %s (Linux has all of 127.0.0.0/8; elsewhere they are added as aliases of lo0): %w", hosts[0], hosts[len(hosts)-1], last)
}

// tryPort takes the port at every host, and lets it go; 0 is any.
func tryPort(port int) (int, error) {
	for _, h := range hosts {
		l, err := net.Listen("tcp", net.JoinHostPort(h, strconv.Itoa(port)))
		if err != nil {
			return 0, err
		}
		defer l.Close()
		port = l.Addr().(*net.TCPAddr).Port
	}
	return port, nil
}
