package control

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/ledger"
)

const (
	// pageEvents is how many events of the log are looked at for one page.
	pageEvents = 1024
	// keptPages is how many pages a feed remembers: readers who live at the end
	// of the log are a page or two apart.
	keptPages = 4
	// mostReaders is how many may read events at once.
	mostReaders = 64
)

// feeds shares what readers of the event log have in common: those with the
// same filter are given the same pages, each read and encoded once. A reader who
// is far behind reads for himself; nothing ever waits for him. Any goroutine.
type feeds struct {
	ledger *ledger.Ledger
	share  *share

	mu      sync.Mutex
	readers int              // guarded by mu
	byName  map[string]*feed // by filter; guarded by mu
}

// feed is the pages of one filter.
type feed struct {
	ledger *ledger.Ledger
	share  *share
	name   string
	users  int // guarded by feeds.mu

	mu     sync.Mutex
	reader *ledger.EventReader // guarded by mu
	pages  []*page             // the newest last; guarded by mu
}

// page is what comes of a stretch of the log. It is never changed.
type page struct {
	from, next uint64
	revision   uint64 // of the ledger, see EventRevision
	events     int
	encoded    []byte // the events, as fields of a StreamEventsResponse
}

func newFeeds(l *ledger.Ledger) *feeds {
	return &feeds{ledger: l, share: newShare(l.NextEvent), byName: make(map[string]*feed)}
}

// join gives the feed of a filter; leave must be called. ok false: there are too
// many readers. The error is a mistake in the filter.
func (f *feeds) join(filter ledger.EventFilter) (_ *feed, leave func(), ok bool, err error) {
	reader, err := f.ledger.EventReader(filter)
	if err != nil {
		return nil, nil, true, err
	}
	name := nameOfFilter(filter)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.readers >= mostReaders {
		return nil, nil, false, nil
	}
	one := f.byName[name]
	if one == nil {
		one = &feed{ledger: f.ledger, share: f.share, name: name, reader: reader}
		f.byName[name] = one
	}
	f.readers++
	one.users++
	return one, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.readers--
		if one.users--; one.users == 0 {
			delete(f.byName, name)
		}
	}, true, nil
}

// nameOfFilter is the same for filters that choose the same.
func nameOfFilter(f ledger.EventFilter) string {
	var b strings.Builder
	for _, list := range [][]string{f.Kinds, f.Words, f.Campaigns, f.Sites, f.Domains} {
		list = slices.Clone(list)
		slices.Sort(list)
		fmt.Fprintf(&b, "%q", slices.Compact(list))
	}
	return b.String()
}

// page gives what follows from a number on; its next is from itself when there
// is nothing yet. *ledger.MissingEvents: it is no longer kept.
func (f *feed) page(ctx context.Context, from uint64) (*page, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	revision := f.ledger.EventRevision()
	for _, p := range slices.Backward(f.pages) {
		if p.from == from && p.revision == revision {
			return p, nil
		}
	}
	list, next, err := f.reader.Read(ctx, from, pageEvents)
	if err != nil {
		return nil, err
	}
	f.share.spend(int(next-from), time.Now())
	p := &page{from: from, next: next, revision: revision, events: len(list)}
	if p.encoded, err = encodeEvents(list); err != nil {
		return nil, err
	}
	if next == from {
		return p, nil
	}
	if len(f.pages) == keptPages {
		f.pages = append(f.pages[:0], f.pages[1:]...)
	}
	f.pages = append(f.pages, p)
	return p, nil
}

// response is a page as a message. In the binary form its events are put in as
// they are, as fields that the message need not know to carry them.
func (p *page) response(binary bool) (*pb.StreamEventsResponse, error) {
	m := &pb.StreamEventsResponse{}
	if binary {
		m.ProtoReflect().SetUnknown(p.encoded)
	} else if err := proto.Unmarshal(p.encoded, m); err != nil {
		return nil, fmt.Errorf("decode a page of events: %w", err)
	}
	m.Cursor = cursorOf(p.next)
	return m, nil
}
