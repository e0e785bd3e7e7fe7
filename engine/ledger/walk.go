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
	iters := make([]*pebble.Iterator, 0, 2)
	for _, space := range []byte{spaceRecipient, spaceHistory} {
		lower, upper := campaignBounds(space, campaign)
		iter, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
		if err != nil {
			for _, it := range iters {
				it.Close()
			}
			return err
		}
		iters = append(iters, iter)
	}
	rows, history := iters[0], iters[1]
	defer closeIter(rows, &err)
	defer closeIter(history, &err)
	var w walked
	var memory []byte
	more := history.First()
	for ok := rows.First(); ok; ok = rows.Next() {
		key := rows.Key()
		if w.domain, w.seq, err = splitSeqKey(key); err != nil {
			return err
		}
		if w.flags, w.local, w.fields, err = decodeRecipient(rows.Value()); err != nil {
			return fmt.Errorf("recipient %x: %w", key, err)
		}
		w.history, w.records, w.gap, memory = w.history[:0], w.records[:0], false, memory[:0]
		for ; more; more = history.Next() {
			hk := history.Key()
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
			if len(w.history) == 0 {
				w.first = n
			} else if n != w.first+uint16(len(w.history)) {
				w.gap = true
			}
			from := len(memory)
			memory = append(memory, history.Value()...)
			record := memory[from:len(memory):len(memory)]
			e, err := decodeEvent(record)
			if err != nil {
				return fmt.Errorf("history %x: %w", hk, err)
			}
			w.history = append(w.history, e)
			w.records = append(w.records, record)
		}
		if err := fn(&w); err != nil {
			return err
		}
	}
	if more && rows.Error() == nil {
		return fmt.Errorf("%x: %w", history.Key(), errOrphan)
	}
	return errors.Join(rows.Error(), history.Error())
}
