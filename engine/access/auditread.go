package access

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// Query chooses changes.
type Query struct {
	// Before is the number that all of them are below; 0: from the latest.
	Before uint64
	// Most is how many, at least 1.
	Most int
	// Who and Method, if not empty, are the caller's name and a part of the
	// method's.
	Who, Method string
}

// List gives the changes that are chosen, the latest first. It reads as many
// files as it needs, and holds up no change meanwhile.
func (l *Log) List(q Query) ([]Change, error) {
	var found []Change
	ends := make(map[uint64]*line) // whose beginning is in an older file
	for number := 0; number < l.files && len(found) < q.Most; number++ {
		changes, err := l.read(number, ends)
		if errors.Is(err, fs.ErrNotExist) {
			// The next one may be there: a rotation is under way.
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, c := range slices.Backward(changes) {
			chosen := (q.Before == 0 || c.ID < q.Before) && (q.Who == "" || c.Caller.Name == q.Who) && strings.Contains(c.Method, q.Method)
			// A file that was moved while they were read is met twice.
			known := len(found) > 0 && found[len(found)-1].ID <= c.ID
			if chosen && !known && len(found) < q.Most {
				found = append(found, c)
			}
		}
	}
	return found, nil
}

// read gives the changes that begin in a file, in its order. ends has and gets
// the ends of those that begin in an older one.
func (l *Log) read(number int, ends map[uint64]*line) ([]Change, error) {
	var changes []Change
	at := make(map[uint64]int)
	err := readLines(l.name(number), func(read *line) error {
		switch i, here := at[read.ID]; {
		case read.Event == asked:
			role, err := ParseRole(read.Role)
			if err != nil {
				role = RoleUnset // written by hand
			}
			at[read.ID] = len(changes)
			changes = append(changes, Change{
				ID: read.ID, At: read.Time, Caller: Caller{Name: read.Who, Role: role, Via: read.Via, Peer: read.Peer},
				Method: read.Method, Request: read.Request,
			})
		case read.Event == done && here:
			changes[i].ended(read)
		case read.Event == done:
			ends[read.ID] = read
		}
		return nil
	})
	for i := range changes {
		if end := ends[changes[i].ID]; end != nil {
			changes[i].ended(end)
			delete(ends, changes[i].ID)
		}
	}
	return changes, err
}

func (c *Change) ended(end *line) {
	c.Result, c.Message, c.Took = end.Result, end.Message, time.Duration(end.Took*float64(time.Second))
}
