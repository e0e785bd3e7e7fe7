//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock-mail/penstock/bench/senders/letters"
	"github.com/penstock-mail/penstock/bench/sink"
)

// TestASpentSessionIsFollowedByAnother: a server that takes so many letters in a
// session gets the rest in others, each letter once; any other refusal is an error.
func TestASpentSessionIsFollowedByAnother(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		ends   bool
	}{
		"452":        {`rules: [{at: mail, every: 4, reply: "452 4.5.3 Too many messages sent"}]`, true},
		"421":        {`servers: [{messages_per_connection: 3}]`, true},
		"no session": {`rules: [{at: mail, reply: "452 4.5.3 Too many messages sent"}]`, false},
		"recipient":  {`rules: [{at: rcpt, every: 4, reply: "452 4.5.3 Too many recipients"}]`, false},
	} {
		t.Run(name, func(t *testing.T) {
			script, err := sink.ParseScript("sink", []byte(c.script))
			if err != nil {
				t.Fatal(err)
			}
			s, err := sink.Start(sink.Options{Listen: []string{"127.0.0.1:0"}, Script: script})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			dir := t.TempDir()
			rows := "email,id,first_name\n"
			for n := range 20 {
				rows += fmt.Sprintf("u%d@a.test,%d,Ada\n", n, n)
			}
			people, body := filepath.Join(dir, "people.csv"), filepath.Join(dir, "body.html")
			for path, text := range map[string]string{people: rows, body: "<p>{{ first_name }}</p>\n"} {
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			l, err := letters.Open(people, body)
			if err != nil {
				t.Fatal(err)
			}
			f := &filler{ctx: t.Context(), job: &letters.Job{Letters: l, Sink: s.Addrs()[0]}}
			if err := f.open(); err != nil {
				t.Fatal(err)
			}
			for n := range 20 {
				if err = f.Send(n); err != nil {
					break
				}
			}
			if c.ends && (err != nil || s.Stats().Accepted != 20) {
				t.Errorf("%d of 20 arrived: %v", s.Stats().Accepted, err)
			}
			if !c.ends && (err == nil || !strings.Contains(err.Error(), "452")) {
				t.Errorf("got %v", err)
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
