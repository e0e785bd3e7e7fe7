package ledger

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// walked is one recipient with its whole history. All of it dies with the
// call.
type walked struct {
	domain        []byte
	seq           Seq
	flags         byte
	local, fields []byte
	// history in order; first is the number of the first record.
	history []event
	records [][]byte
	first   uint16
	gap     bool // numbers were not consecutive
}

// errOrphan is history of somebody who is not there.
var errOrphan = errors.New("history without a recipient")

// walk goes through a campaign's recipients and their history side by side,
// both in the same order.
func walk(r pebble.Reader, campaign uint32, fn func(*walked) error) (err error) {
	w, err := newWalker(r, campaign)
	if err != nil {
		return err
	}
	defer w.close(&err)
	for w.first(); ; {
		ok, err := w.next()
		if err != nil || !ok {
			return err
		}
		if err := fn(&w.walked); err != nil {
			return err
		}
	}
}

// walker is a walk under way, which may leap. One goroutine.
type walker struct {
	campaign      uint32
	rows, history *pebble.Iterator
	// more: history stands at a record.
	more   bool
	key    []byte
	memory []byte
	// ahead: rows stands at the next recipient, else at the last one given.
	ahead bool
	walked
}

func newWalker(r pebble.Reader, campaign uint32) (*walker, error) {
	w := &walker{campaign: campaign}
	for space, to := range map[byte]**pebble.Iterator{spaceRecipient: &w.rows, spaceHistory: &w.history} {
		lower, upper := campaignBounds(space, campaign)
		iter, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
		if err != nil {
			w.close(&err)
			return nil, err
		}
		*to = iter
	}
	return w, nil
}

func (w *walker) close(err *error) {
	for _, iter := range []*pebble.Iterator{w.rows, w.history} {
		if iter != nil {
			closeIter(iter, err)
		}
	}
}

// first goes to the first recipient.
func (w *walker) first() {
	w.rows.First()
	w.more, w.ahead = w.history.First(), true
}

// seek goes to the first recipient of a domain above seq, or of a later domain.
func (w *walker) seek(domain string, seq Seq) {
	w.key = append(appendSeqKey(w.key[:0], spaceRecipient, w.campaign, domain, seq), 0)
	w.ahead, w.more = true, false
	if !w.rows.SeekGE(w.key) {
		return
	}
	w.key = append(w.key[:0], w.rows.Key()...)
	w.key[0] = spaceHistory
	w.more = w.history.SeekGE(w.key)
}

// next gives the next recipient; false at the end.
func (w *walker) next() (ok bool, err error) {
	if !w.ahead {
		w.rows.Next()
	}
	w.ahead = false
	if !w.rows.Valid() {
		if w.more && w.rows.Error() == nil {
			return false, fmt.Errorf("%x: %w", w.history.Key(), errOrphan)
		}
		return false, errors.Join(w.rows.Error(), w.history.Error())
	}
	key := w.rows.Key()
	if w.domain, w.seq, err = splitSeqKey(key); err != nil {
		return false, err
	}
	if w.flags, w.local, w.fields, err = decodeRecipient(w.rows.Value()); err != nil {
		return false, fmt.Errorf("recipient %x: %w", key, err)
	}
	return true, w.gather(key)
}

// gather takes up the history of the recipient with this key.
func (w *walker) gather(key []byte) error {
	w.walked.history, w.records, w.gap, w.memory = w.walked.history[:0], w.records[:0], false, w.memory[:0]
	for ; w.more; w.more = w.history.Next() {
		hk := w.history.Key()
		if len(hk) < 2 {
			return errKey
		}
		c := bytes.Compare(hk[1:len(hk)-2], key[1:])
		if c > 0 {
			break
		}
		if c < 0 {
			return fmt.Errorf("%x: %w", hk, errOrphan)
		}
		n := uint16(hk[len(hk)-2])<<8 | uint16(hk[len(hk)-1])
		if len(w.walked.history) == 0 {
			w.walked.first = n
		} else if n != w.walked.first+uint16(len(w.walked.history)) {
			w.gap = true
		}
		from := len(w.memory)
		w.memory = append(w.memory, w.history.Value()...)
		record := w.memory[from:len(w.memory):len(w.memory)]
		e, err := decodeEvent(record)
		if err != nil {
			return fmt.Errorf("history %x: %w", hk, err)
		}
		w.walked.history = append(w.walked.history, e)
		w.records = append(w.records, record)
	}
	return nil
}
