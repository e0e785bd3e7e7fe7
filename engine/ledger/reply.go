package ledger

import (
	"encoding/binary"
	"fmt"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// Reply texts repeat, once their variable parts are cut out: queue ids,
// numbers, addresses. What remains is the shape; it is stored once and has a
// number. A text on disk is the shape's number and the parts, without loss;
// number 0 is a text stored as it is. The dictionary is bounded, because a
// hostile server can make up shapes without end.
const (
	maxShapes    = 8192
	maxShapeText = 512
	maxParts     = 32
	// cut stands for a part in a shape; replies are printable, so it occurs in
	// none of them.
	cut = '\x00'
)

// shapes is the dictionary. Any goroutine reads, the writer adds.
type shapes struct {
	mu    sync.RWMutex
	ids   map[string]uint32 // guarded by mu
	texts []string          // by id-1; guarded by mu
}

func loadShapes(r pebble.Reader) (_ *shapes, err error) {
	s := &shapes{ids: make(map[string]uint32)}
	iter, err := r.NewIter(&pebble.IterOptions{LowerBound: []byte{spaceShape}, UpperBound: []byte{spaceShape + 1}})
	if err != nil {
		return nil, err
	}
	defer closeIter(iter, &err)
	for ok := iter.First(); ok; ok = iter.Next() {
		k := iter.Key()
		if len(k) != campaignPrefix || binary.BigEndian.Uint32(k[1:]) != uint32(len(s.texts))+1 {
			return nil, fmt.Errorf("read reply shapes: %w", errKey)
		}
		s.add(string(iter.Value()))
	}
	return s, iter.Error()
}

func (s *shapes) add(text string) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts = append(s.texts, text)
	id := uint32(len(s.texts))
	s.ids[text] = id
	return id
}

func (s *shapes) find(text []byte) (uint32, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	id, ok := s.ids[string(text)]
	return id, ok
}

func (s *shapes) full() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.texts) >= maxShapes
}

// text gives a shape by number; ok false when there is none.
func (s *shapes) text(id uint32) (text string, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if id == 0 || uint64(id) > uint64(len(s.texts)) {
		return "", false
	}
	return s.texts[id-1], true
}

// part is where a variable part of a text lies.
type part struct{ from, to int }

// splitText finds the variable parts of a text and appends them to parts:
// words with a digit or an @ in them, words in angle brackets, and words after
// "as" or "id" (a queue id may be letters only), all without the punctuation
// around them. ok false: the text has no shape.
func splitText(text string, parts []part) (_ []part, ok bool) {
	named := false
	for i := 0; i < len(text); {
		if text[i] == cut {
			return parts, false
		}
		if text[i] <= ' ' {
			i++
			continue
		}
		from, variable := i, false
		for i < len(text) && text[i] > ' ' {
			c := text[i]
			variable = variable || c >= '0' && c <= '9' || c == '@'
			i++
		}
		to := i
		variable = variable || named || text[from] == '<' && text[to-1] == '>'
		named = text[from:to] == "as" || text[from:to] == "id"
		if !variable {
			continue
		}
		for from < to && strings.IndexByte("<([{\"'", text[from]) >= 0 {
			from++
		}
		for to > from && strings.IndexByte(">)]}\"'.,;:!", text[to-1]) >= 0 {
			to--
		}
		if from == to {
			continue
		}
		if len(parts) == maxParts {
			return parts, false
		}
		parts = append(parts, part{from, to})
	}
	return parts, true
}

// appendShape appends the text with its parts cut out.
func appendShape(dst []byte, text string, parts []part) []byte {
	at := 0
	for _, p := range parts {
		dst = append(dst, text[at:p.from]...)
		dst = append(dst, cut)
		at = p.to
	}
	return append(dst, text[at:]...)
}

// text appends an encoded reply text to the group's value, and gives its
// shape. A new shape goes into the same group.
func (g *group) text(text string) (shape uint32, err error) {
	var space [maxParts]part
	parts, ok := splitText(text, space[:0])
	g.dict = appendShape(g.dict[:0], text, parts)
	if !ok || len(g.dict) > maxShapeText {
		g.value = append(append(g.value, 0), text...)
		return 0, nil
	}
	all := g.w.ledger.shapes
	id, known := all.find(g.dict)
	if !known {
		if all.full() {
			g.value = append(append(g.value, 0), text...)
			return 0, nil
		}
		id = all.add(string(g.dict))
		if err := g.batch.Set(appendIDKey(nil, spaceShape, id), g.dict, nil); err != nil {
			return 0, err
		}
	}
	g.value = binary.AppendUvarint(g.value, uint64(id))
	for _, p := range parts {
		g.value = appendBytes(g.value, text[p.from:p.to])
	}
	return id, nil
}

// decodeText puts a reply text together again.
func (s *shapes) decodeText(v []byte) (string, error) {
	if len(v) == 0 {
		return "", nil
	}
	d := decoder{b: v}
	id := d.uint32()
	if err := d.err(); err != nil {
		return "", err
	}
	if id == 0 {
		return string(d.b), nil
	}
	shape, ok := s.text(id)
	if !ok {
		return "", fmt.Errorf("reply shape %d: %w", id, errDamaged)
	}
	var b strings.Builder
	for i := range len(shape) {
		if shape[i] == cut {
			b.Write(d.bytes())
		} else {
			b.WriteByte(shape[i])
		}
	}
	if len(d.b) > 0 {
		d.bad = true
	}
	return b.String(), d.err()
}

// readable is a shape as a person sees it.
func readable(shape string) string {
	return strings.ReplaceAll(shape, string(rune(cut)), "…")
}

// replyKey is what replies are counted by.
type replyKey struct {
	state    State
	code     uint16
	enhanced [3]uint16
	shape    uint32
}

const (
	partCount = iota
	partExample
)

// append appends the key of a reply's count or example.
func (k *replyKey) append(dst []byte, campaign uint32, part byte) []byte {
	dst = appendCampaignKey(dst, spaceReply, campaign)
	dst = append(dst, byte(k.state))
	dst = binary.BigEndian.AppendUint16(dst, k.code)
	for _, v := range k.enhanced {
		dst = binary.BigEndian.AppendUint16(dst, v)
	}
	dst = binary.BigEndian.AppendUint32(dst, k.shape)
	return append(dst, part)
}

const replyKeyBytes = campaignPrefix + 1 + 2 + 6 + 4 + 1

func decodeReplyKey(k []byte) (r replyKey, part byte, err error) {
	if len(k) != replyKeyBytes {
		return r, 0, errKey
	}
	k = k[campaignPrefix:]
	r.state, r.code = State(k[0]), binary.BigEndian.Uint16(k[1:])
	for i := range r.enhanced {
		r.enhanced[i] = binary.BigEndian.Uint16(k[3+2*i:])
	}
	r.shape = binary.BigEndian.Uint32(k[9:])
	return r, k[13], nil
}

// replyCount is one count in memory. Writer only.
type replyCount struct {
	campaign *Campaign
	key      replyKey
	n        uint64
	dirty    bool
}

// maxReplies bounds the different replies counted for a campaign; more of them
// are counted by state and code alone.
const maxReplies = 4096

// countReply counts a reply, or a reason given without an attempt; its example
// is the first one's text.
func (g *group) countReply(c *Campaign, s *Settlement, shape uint32) error {
	if c.replies == nil {
		if err := c.loadReplies(); err != nil {
			return err
		}
	}
	key := replyKey{s.State, s.Code, s.Enhanced, shape}
	r := c.replies[key]
	if r == nil && len(c.replies) >= maxReplies {
		key = replyKey{state: s.State, code: s.Code}
		r = c.replies[key]
	}
	if r == nil {
		r = &replyCount{campaign: c, key: key}
		c.replies[key] = r
		if s.Text != "" {
			if err := g.batch.Set(key.append(nil, c.number, partExample), []byte(s.Text), nil); err != nil {
				return err
			}
		}
	}
	r.n++
	if !r.dirty {
		r.dirty = true
		g.replies = append(g.replies, r)
	}
	return nil
}

// sealReplies writes the counts that changed.
func (g *group) sealReplies() error {
	for _, r := range g.replies {
		g.key = r.key.append(g.key[:0], r.campaign.number, partCount)
		g.value = binary.AppendUvarint(g.value[:0], r.n)
		if err := g.batch.Set(g.key, g.value, nil); err != nil {
			return err
		}
		r.dirty = false
	}
	clear(g.replies)
	g.replies = g.replies[:0]
	return nil
}

func (c *Campaign) loadReplies() error {
	c.replies = make(map[replyKey]*replyCount)
	return eachReply(c.ledger.db, c.number, func(key replyKey, n uint64, _ string) error {
		c.replies[key] = &replyCount{campaign: c, key: key, n: n}
		return nil
	})
}

// eachReply walks a campaign's reply counts with their examples.
func eachReply(r pebble.Reader, campaign uint32, fn func(key replyKey, n uint64, example string) error) (err error) {
	lower, upper := campaignBounds(spaceReply, campaign)
	iter, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	defer closeIter(iter, &err)
	var key replyKey
	var n uint64
	var example string
	have := false
	emit := func() error {
		if !have {
			return nil
		}
		return fn(key, n, example)
	}
	for ok := iter.First(); ok; ok = iter.Next() {
		k, part, err := decodeReplyKey(iter.Key())
		if err != nil {
			return err
		}
		switch part {
		case partCount:
			if err := emit(); err != nil {
				return err
			}
			d := decoder{b: iter.Value()}
			key, n, example, have = k, d.uint(), "", true
			if err := d.err(); err != nil {
				return fmt.Errorf("reply count: %w", err)
			}
		case partExample:
			if !have || k != key {
				return fmt.Errorf("reply example without a count: %w", errDamaged)
			}
			example = string(iter.Value())
		default:
			return errKey
		}
	}
	if err := iter.Error(); err != nil {
		return err
	}
	return emit()
}
