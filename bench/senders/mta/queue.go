//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-mail/penstock/bench/senders/letters"
)

// fillers is how many connections hand in letters: enough to keep a server busy
// on a small machine, few enough for its defaults.
const fillers = 10

// fill hands every letter in. At the end of ctx it stops handing in.
func (j *job) fill(ctx context.Context) error {
	in := j.Job
	in.Sink, in.Connections = j.intake(), min(fillers, len(j.Letters.People))
	return in.SendAll(func(in *letters.Job) (letters.Connection, error) {
		f := &filler{ctx: ctx, job: in}
		return f, f.open()
	})
}

// intake is where the server listens.
func (j *job) intake() string { return "127.0.0.1:" + strconv.Itoa(j.listen) }

// filler is a connection to the server.
type filler struct {
	ctx    context.Context
	job    *letters.Job
	client *smtp.Client
	taken  int // letters in this session
	buffer []byte
}

// open begins a session.
func (f *filler) open() error {
	c, err := smtp.Dial(f.job.Sink)
	if err != nil {
		return fmt.Errorf("fill the queue: %w", err)
	}
	f.client, f.taken = c, 0
	return nil
}

// Send hands in the n-th letter, in a new session if this one had its share.
func (f *filler) Send(n int) error {
	if err := f.ctx.Err(); err != nil {
		return err
	}
	err := f.send(n)
	if f.taken > 0 && spent(err) {
		f.client.Quit()
		if err = f.open(); err == nil {
			err = f.send(n)
		}
	}
	if err == nil {
		f.taken++
	}
	return err
}

// errMail marks what MAIL got: nothing of the letter was taken.
var errMail = errors.New("MAIL")

// spent tells that a server takes no more letters in this session: OpenSMTPD says
// 452 after so many, others 421.
func spent(err error) bool {
	var reply *textproto.Error
	return errors.Is(err, errMail) && errors.As(err, &reply) && (reply.Code == 452 || reply.Code == 421)
}

func (f *filler) send(n int) error {
	if err := f.client.Mail(letters.Sender); err != nil {
		return fmt.Errorf("%w: %w", errMail, err)
	}
	if err := f.client.Rcpt(f.job.Letters.People[n].Address); err != nil {
		return err
	}
	w, err := f.client.Data()
	if err != nil {
		return err
	}
	f.buffer = f.job.Letters.Append(f.buffer[:0], n)
	if _, err := w.Write(f.buffer); err != nil {
		return err
	}
	return w.Close()
}

// Close ends the session; a server that has hung up has all letters as well.
func (f *filler) Close() error {
	f.client.Quit()
	return nil
}

// emptied waits until no directory has a file. At the end of ctx it is an error
// that names one that is left.
func emptied(ctx context.Context, dirs []string) error {
	again := time.NewTicker(look)
	defer again.Stop()
	for {
		left := ""
		for _, d := range dirs {
			if left = firstFile(d); left != "" {
				break
			}
		}
		if left == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("stopped while %s was queued", left)
		case <-again.C:
		}
	}
}

// errFound ends a walk early.
var errFound = errors.New("found")

// firstFile is some regular file below dir, "" if there is none.
func firstFile(dir string) (path string) {
	filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			path = p
			return errFound
		}
		return nil // what is gone meanwhile is not queued
	})
	return path
}

// program finds one of a peer's programs: as fetched, or as installed.
func (j *job) program(name string) (string, error) {
	for _, p := range []string{filepath.Join(j.senders, "bin", name), filepath.Join("/usr/sbin", name)} {
		if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() {
			return p, nil
		}
	}
	return exec.LookPath(name)
}

// write writes a configuration file: $(name) is replaced by its value.
func (j *job) write(name, text string, values map[string]string) error {
	path := filepath.Join(j.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(fill(text, values)), 0o644)
}

func fill(text string, values map[string]string) string {
	for name, value := range values {
		text = strings.ReplaceAll(text, "$("+name+")", value)
	}
	return text
}

// directory makes a directory below the run's, owned by a user and group.
func (j *job) directory(name string, mode os.FileMode, owner, group string) error {
	path := filepath.Join(j.dir, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	u, err := user.Lookup(owner)
	if err != nil {
		return err
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return err
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(g.Gid)
	if err := os.Chown(path, uid, gid); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// lastWords is the end of what the server wrote, for a failure's message.
func (j *job) lastWords() string {
	text, err := os.ReadFile(filepath.Join(j.dir, "server.out"))
	if err != nil || len(text) == 0 {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return "; it said: " + strings.Join(lines[max(0, len(lines)-3):], " / ")
}

// firstLine is the first line that a command prints, on standard error if it
// prints nothing else; "" if it cannot run.
func firstLine(words ...string) string {
	var out, other strings.Builder
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &other
	cmd.Run() // some say their version and end with an error
	line, _, _ := strings.Cut(strings.TrimSpace(cmp.Or(out.String(), other.String())), "\n")
	return line
}

func splitAddress(addr string) (host, port string, err error) {
	if host, port, err = net.SplitHostPort(addr); err != nil {
		err = fmt.Errorf("sink: %w", err)
	}
	return host, port, err
}

// freePort is a port of the loopback that nobody listens on.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
