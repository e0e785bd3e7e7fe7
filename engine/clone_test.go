package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/ledger"
)

func copyOf(from, id string, states ...ledger.State) Copy {
	return Copy{From: from, ID: id, States: states}
}

// TestTheFailedAreSentToAgain: whoever bounced is in the copy, with merge fields
// and content, and nobody else; it waits to be started, also after a restart; who
// is suppressed by then is not sent to, and who was erased does not come back.
func TestTheFailedAreSentToAgain(t *testing.T) {
	w := newWorld(t, "")
	w.serve("rules: [{at: rcpt, times: 1, reply: \"550 5.1.1 No such user\"}]", "bad.test", "worse.test")
	w.serve("", "good.test")
	w.open()
	stop := w.write("stop.txt", "")
	all := people(20, "bad.test", "good.test", "worse.test")
	r := w.start(w.campaign("c", "suppress: stop.txt\nmax_rate: 100000/s\n", all...))
	w.finish(r)
	w.has(r, "40 bounced, 20 delivered")
	w.write("stop.txt", "u3@bad.test\n")
	if n, err := w.engine.ledger.Erase(t.Context(), "u4", "bad.test"); err != nil || n != 1 {
		t.Fatalf("erased %d, %v", n, err)
	}
	made, err := w.engine.Clone(t.Context(), copyOf("c", "again", ledger.Bounced))
	if err != nil {
		t.Fatalf("%s: %v", stop, err)
	}
	if n := made.Totals(); n.Rows != 40 || n.Loaded != 39 || n.Rejected != 1 {
		t.Errorf("totals %+v", n)
	}
	if err := made.Rejects(t.Context(), func(r *ledger.Reject) error {
		if r.Reason != ReasonErased || r.Address != "" || !strings.Contains(r.Detail, "of campaign c was erased") {
			t.Errorf("reject %+v", r)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	w.reopen()
	if err := w.engine.Continue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.engine.Run("again") != nil {
		t.Error("it did not wait to be started")
	}
	same, err := w.engine.Clone(t.Context(), copyOf("c", "again", ledger.Bounced, ledger.Bounced))
	if err != nil || same.Number() != made.Number() {
		t.Fatalf("once more: %v, %v", same, err)
	}
	if r, err = w.engine.Start(t.Context(), same); err != nil {
		t.Fatal(err)
	}
	w.finish(r)
	w.has(r, "38 delivered, 1 suppressed")
	var expected []string
	for _, a := range all {
		if a != "u3@bad.test" && a != "u4@bad.test" {
			expected = append(expected, a)
		}
	}
	w.once(expected...)
	if text := w.mail.letters("u2@worse.test")[0].content; !bytes.Contains(text, []byte("To: u2@worse.test")) || !bytes.Contains(text, []byte("Hello Name 6,")) {
		t.Errorf("the copy's message:\n%s", text)
	}
	// The campaign file of the copied one does not fit the copy.
	c := w.campaign("again", "", all...)
	if _, err := w.engine.Load(t.Context(), c, nil, nil); err == nil || !strings.Contains(err.Error(), "it is a copy of campaign c") {
		t.Errorf("load: %v", err)
	}
}

func TestCopiesThatCannotBeAreRefused(t *testing.T) {
	w := newWorld(t, "")
	w.open()
	from := w.load(w.campaign("c", "", people(5, "a.test")...))
	w.load(w.campaign("other", "", people(5, "a.test")...))
	clone := func(o Copy) error { _, err := w.engine.Clone(context.Background(), o); return err }
	for _, c := range []struct {
		copy  Copy
		want  error
		words string
	}{
		{copyOf("none", "d", ledger.Bounced), ledger.ErrNoCampaign, "none"},
		{copyOf("c", "c", ledger.Bounced), ErrCopy, "an id of its own"},
		{copyOf("c", "a b", ledger.Bounced), ErrCopy, `"a b"`},
		{copyOf("c", "d"), ErrCopy, "in which states"},
		{copyOf("c", "d", ledger.Pending), ErrCopy, "cancel it"},
		{copyOf("c", "d", ledger.Bounced, ledger.Deferred), ErrCopy, "cancel it"},
		{copyOf("c", "d", ledger.Suppressed), ErrCopy, "stays so"},
		{copyOf("c", "d", ledger.Uncertain), ErrNotYet, "when it is finished"},
		{copyOf("c", "d", ledger.Bounced, ledger.Expired), ErrNobody, "nobody is bounced or expired"},
	} {
		if err := clone(c.copy); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%v: %v; want %q with %q", c.copy, err, c.want, c.words)
		}
	}
	if err := w.engine.Cancel(t.Context(), from); err != nil {
		t.Fatal(err)
	}
	if err := clone(copyOf("c", "d", ledger.Cancelled)); err != nil {
		t.Fatal(err)
	}
	for o, words := range map[*Copy]string{
		{From: "c", ID: "other", States: []ledger.State{ledger.Cancelled}}:             "it is no copy",
		{From: "other", ID: "d", States: []ledger.State{ledger.Cancelled}}:             "it is a copy of c, not of other",
		{From: "c", ID: "d", States: []ledger.State{ledger.Cancelled, ledger.Bounced}}: "it has those who were cancelled, not bounced, cancelled",
	} {
		var differs *campaign.Copied
		if err := clone(*o); !errors.As(err, &differs) || !strings.Contains(err.Error(), words) {
			t.Errorf("%v: %v; want %q", *o, err, words)
		}
	}
	// The copied campaign may go; the same copy is still the same.
	if err := w.engine.Delete(t.Context(), from); err != nil {
		t.Fatal(err)
	}
	if err := clone(copyOf("c", "d", ledger.Cancelled)); err != nil {
		t.Errorf("without the first: %v", err)
	}
	w.load(w.campaign("c", "", people(5, "a.test")...))
	if err := clone(copyOf("c", "d", ledger.Cancelled)); err == nil || !strings.Contains(err.Error(), "earlier campaign c") {
		t.Errorf("with another of its name: %v", err)
	}
}

// TestOneOfManyCopiesIsMade: side by side, all get the one that is made, or are
// told to ask again.
func TestOneOfManyCopiesIsMade(t *testing.T) {
	w := newWorld(t, "")
	w.open()
	from := w.load(w.campaign("c", "", people(3000, "a.test", "b.test")...))
	if err := w.engine.Cancel(t.Context(), from); err != nil {
		t.Fatal(err)
	}
	var asking sync.WaitGroup
	numbers := make(chan string, 8)
	for range cap(numbers) {
		asking.Go(func() {
			for {
				made, err := w.engine.Clone(context.Background(), copyOf("c", "d", ledger.Cancelled))
				if errors.Is(err, ErrBusy) {
					continue
				}
				if err != nil {
					numbers <- err.Error()
					return
				}
				numbers <- fmt.Sprint(made.Number(), " ", made.Totals().Loaded)
				return
			}
		})
	}
	asking.Wait()
	close(numbers)
	first := <-numbers
	for n := range numbers {
		if n != first {
			t.Errorf("%q and %q", first, n)
		}
	}
	if !strings.HasSuffix(first, " 6000") {
		t.Error(first)
	}
	// One that is given up leaves nothing.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.engine.Clone(ctx, copyOf("c", "e", ledger.Cancelled)); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	if _, err := w.engine.ledger.Campaign("e"); !errors.Is(err, ledger.ErrNoCampaign) {
		t.Errorf("given up: %v", err)
	}
}

// TestSuppressedAtLoadHoldsWithoutItsList: what a list said is kept with each
// recipient, so that a campaign goes on and is copied when the list is gone. One
// that is there and cannot be read is not passed over.
func TestSuppressedAtLoadHoldsWithoutItsList(t *testing.T) {
	w := newWorld(t, "")
	w.serve("", "good.test")
	w.open()
	list := w.write("stop.txt", "u3@good.test\n")
	c := w.campaign("c", "suppress: stop.txt\n", people(20, "good.test")...)
	loaded, err := w.engine.Load(t.Context(), c, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(list), os.Mkdir(list, 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.engine.Start(t.Context(), loaded); err == nil {
		t.Error("it starts, and its list cannot be read")
	}
	if err := os.Remove(list); err != nil {
		t.Fatal(err)
	}
	w.reopen()
	if err := w.engine.Continue(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := w.engine.Run("c")
	if r == nil {
		t.Fatal("it does not go on")
	}
	w.finish(r)
	w.has(r, "19 delivered, 1 suppressed")
	w.says("suppression list is gone", "campaign=c")
	made, err := w.engine.Clone(t.Context(), copyOf("c", "again", ledger.Delivered))
	if err != nil || made.Totals().Loaded != 19 {
		t.Fatalf("copy: %v", err)
	}
	if _, err := made.Lookup("u3", "good.test"); !errors.Is(err, ledger.ErrNoRecipient) {
		t.Errorf("who was suppressed is in the copy: %v", err)
	}
}
