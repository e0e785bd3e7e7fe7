package engine

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/penstock-mail/penstock/bench/sink"
)

// letter is one message that a server accepted.
type letter struct {
	from    string
	content []byte
}

// mailbag is what all servers of a world accepted, by recipient and in order.
type mailbag struct {
	mu      sync.Mutex
	arrived map[string][]letter // guarded by mu
	order   []string            // guarded by mu
}

func (b *mailbag) accept(m *sink.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, to := range m.To {
		b.arrived[string(to)] = append(b.arrived[string(to)], letter{string(m.From), bytes.Clone(m.Content)})
		b.order = append(b.order, string(to))
	}
}

// sequence is whom the accepted messages were for, in order.
func (b *mailbag) sequence() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.order)
}

// count is how many messages were accepted.
func (b *mailbag) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.order)
}

func (b *mailbag) letters(to string) []letter {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.arrived[to])
}

// once fails unless each address got exactly one message, and nobody else any.
func (w *world) once(addresses ...string) {
	w.Helper()
	w.mail.mu.Lock()
	defer w.mail.mu.Unlock()
	for _, a := range addresses {
		if n := len(w.mail.arrived[a]); n != 1 {
			w.Errorf("%s got %d messages, want 1", a, n)
		}
	}
	for _, a := range slices.Sorted(maps.Keys(w.mail.arrived)) {
		if !slices.Contains(addresses, a) {
			w.Errorf("%s got a message and was to get none", a)
		}
	}
}

// logbook keeps what was logged.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// says fails unless some line of the log holds all the words.
func (w *world) says(words ...string) {
	w.Helper()
	for line := range strings.Lines(w.log.String()) {
		all := true
		for _, word := range words {
			all = all && strings.Contains(line, word)
		}
		if all {
			return
		}
	}
	w.Errorf("no line of the log has all of %q:\n%s", words, w.log)
}
