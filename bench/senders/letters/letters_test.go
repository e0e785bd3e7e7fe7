package letters

import (
	"bytes"
	"errors"
	"io"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const table = "email,id,first_name\nu0@a.test,10,Ada\nu1@a.test,11,Björn\n"

func TestLettersArePersonal(t *testing.T) {
	t.Parallel()
	l, err := Open(write(t, "people.csv", table), write(t, "body.html", "<p>Dear {{ first_name }},\nyour id is {{id}}.</p>\n"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := mail.ReadMessage(bytes.NewReader(l.Append(nil, 1)))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(m.Body)
	if err != nil || string(body) != "<p>Dear Björn,\r\nyour id is 11.</p>\r\n" {
		t.Errorf("%q %v", body, err)
	}
	subject := m.Header.Get("Subject")
	if m.Header.Get("To") != "u1@a.test" || m.Header.Get("X-Row") != "11" || !strings.HasPrefix(subject, "=?utf-8?q?News_for_Bj") {
		t.Errorf("%v", m.Header)
	}
	if _, err := m.Header.Date(); err != nil {
		t.Error(err)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ people, body, want string }{
		{"", "x", "empty"},
		{"id\n1\n", "x", "no column email"},
		{"email\na@b\n1,2\n", "x", "wrong number of fields"},
		{table, "{{ nobody }}", `no field "nobody"`},
		{table, "{{ id", `no field "id"`},
	} {
		if _, err := Open(write(t, "people.csv", c.people), write(t, "body.html", c.body)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q, %q: %v, want %s", c.people, c.body, err, c.want)
		}
	}
}

// noted is a connection that only notes which letters it had.
type noted struct {
	mu   sync.Mutex // guards had
	had  map[int]int
	fail int
}

func (n *noted) Send(i int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.had[i]++
	if i == n.fail {
		return errors.New("no")
	}
	return nil
}
func (n *noted) Close() error { return nil }

func TestSendAllSendsEachOnce(t *testing.T) {
	t.Parallel()
	j := &Job{Letters: &Letters{People: make([]Person, 1000)}, Connections: 7}
	n := &noted{had: map[int]int{}, fail: -1}
	if err := j.SendAll(func(*Job) (Connection, error) { return n, nil }); err != nil {
		t.Fatal(err)
	}
	for i := range j.Letters.People {
		if n.had[i] != 1 {
			t.Errorf("letter %d: %d times", i, n.had[i])
		}
	}
	n = &noted{had: map[int]int{}, fail: 3}
	if err := j.SendAll(func(*Job) (Connection, error) { return n, nil }); err == nil || !strings.Contains(err.Error(), "letter 3") {
		t.Errorf("%v", err)
	}
}
