package sink

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Message is an accepted message as Options.Accept sees it.
type Message struct {
	// Listener is the local address, Connection a number within this sink.
	Listener   string
	Connection uint64
	Secured    bool
	// From and To are the envelope; To are the recipients accepted.
	From []byte
	To   [][]byte
	// Content is without the dots that DATA adds.
	Content []byte
}

// recorder keeps what was accepted. Any loop.
type recorder struct {
	accept   func(*Message)
	idHeader string
	maildir  string
	prefix   string
	files    atomic.Uint64

	mu    sync.Mutex
	log   *os.File // guarded by mu; nil: no log
	lines []byte   // guarded by mu; not yet written
	err   error    // guarded by mu; of a maildir
}

func openRecorder(o *Options) (*recorder, error) {
	r := &recorder{accept: o.Accept, idHeader: o.IDHeader, maildir: o.Maildir}
	if r.idHeader == "" {
		r.idHeader = "Message-ID"
	}
	if r.maildir != "" {
		for _, d := range []string{"tmp", "new", "cur"} {
			if err := os.MkdirAll(filepath.Join(r.maildir, d), 0o755); err != nil {
				return nil, fmt.Errorf("sink: maildir: %w", err)
			}
		}
		r.prefix = fmt.Sprintf("%d.%d", time.Now().UnixNano(), os.Getpid())
	}
	if o.Record != "" {
		f, err := os.OpenFile(o.Record, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			return nil, fmt.Errorf("sink: record: %w", err)
		}
		r.log = f
	}
	return r, nil
}

// take keeps the session's message.
func (r *recorder) take(s *session) {
	to := s.env.to
	if len(to) == 0 {
		to = s.env.refused // accepted after all of them were refused
	}
	if r.accept != nil {
		r.accept(&Message{Listener: string(s.host.key), Connection: s.serial, Secured: s.secured, From: s.env.from, To: to, Content: s.body})
	}
	file := ""
	if r.maildir != "" {
		file = r.prefix + "." + strconv.FormatUint(r.files.Add(1), 10)
		if err := r.deliver(file, s.body); err != nil {
			r.mu.Lock()
			r.err = errors.Join(r.err, err)
			r.mu.Unlock()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.log == nil {
		return
	}
	id, headerTo := header(s.body, r.idHeader), addressIn(header(s.body, "To"))
	hash := xxhash.Sum64(s.body)
	notes := inspect(s.body, s.declared)
	if len(s.env.to) == 0 {
		notes = append(notes, "recipient-refused")
	}
	for _, rcpt := range to {
		r.lines = appendArrival(r.lines, &Arrival{
			Time: time.Now(), Listener: string(s.host.key), Connection: s.serial, Secured: s.secured,
			From: string(s.env.from), To: string(rcpt), ID: id, HeaderTo: headerTo, Size: len(s.body), Hash: hash, Notes: notes, File: file,
		})
	}
}

// deliver writes a message as maildir wants it: whole files appear in new.
func (r *recorder) deliver(name string, body []byte) error {
	tmp := filepath.Join(r.maildir, "tmp", name)
	if err := os.WriteFile(tmp, body, 0o644); err != nil {
		return fmt.Errorf("maildir: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(r.maildir, "new", name)); err != nil {
		return fmt.Errorf("maildir: %w", err)
	}
	return nil
}

// flush writes the log's lines. A kill of any other process loses none after that.
func (r *recorder) flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.lines) > 0 {
		_, err := r.log.Write(r.lines)
		r.err = errors.Join(r.err, err)
		r.lines = r.lines[:0]
	}
	return r.err
}

func (r *recorder) close() error {
	err := r.flush()
	if r.log != nil {
		err = errors.Join(err, r.log.Close())
	}
	return err
}

// header returns the first value of a header field, unfolded, or "".
func header(body []byte, name string) string {
	for len(body) > 0 {
		i := bytes.IndexByte(body, '\n')
		if i < 0 {
			i = len(body) - 1
		}
		line := bytes.TrimRight(body[:i+1], "\r\n")
		body = body[i+1:]
		if len(line) == 0 {
			return ""
		}
		if len(line) <= len(name) || line[len(name)] != ':' || !bytes.EqualFold(line[:len(name)], []byte(name)) {
			continue
		}
		value := append([]byte(nil), line[len(name)+1:]...)
		for len(body) > 0 && (body[0] == ' ' || body[0] == '\t') {
			i := bytes.IndexByte(body, '\n')
			if i < 0 {
				i = len(body) - 1
			}
			value = append(value, bytes.TrimRight(body[:i+1], "\r\n")...)
			body = body[i+1:]
		}
		return string(bytes.TrimSpace(value))
	}
	return ""
}

// addressIn returns the first address of an address header: what stands in its
// first angle brackets, or else its first word.
func addressIn(value string) string {
	v := []byte(value)
	if i := bytes.IndexByte(v, '<'); i >= 0 {
		if j := bytes.IndexByte(v[i:], '>'); j > 0 {
			return string(v[i+1 : i+j])
		}
	}
	word, _, _ := bytes.Cut(bytes.TrimSpace(v), []byte(","))
	return string(bytes.TrimSpace(word))
}

// inspect names what a message has that it must not (RFC 5322 2.1.1, 2.3; RFC
// 6152 2).
func inspect(body []byte, d declared) (notes []string) {
	var bareCR, bareLF, long, eight bool
	start := 0
	for i, c := range body {
		switch {
		case c == '\n':
			if i == 0 || body[i-1] != '\r' {
				bareLF = true
			} else if i-1-start > 998 {
				long = true
			}
			start = i + 1
		case c == '\r':
			if i+1 == len(body) || body[i+1] != '\n' {
				bareCR = true
			}
		case c >= 0x80:
			eight = true
		}
	}
	if bareCR {
		notes = append(notes, "bare-cr")
	}
	if bareLF {
		notes = append(notes, "bare-lf")
	}
	if long || len(body)-start > 998 {
		notes = append(notes, "long-line")
	}
	if start != len(body) {
		notes = append(notes, "no-final-crlf")
	}
	if eight && !d.eightBit && !d.utf8 {
		notes = append(notes, "undeclared-8bit")
	}
	return notes
}
