package engine

import (
	"bytes"
	"compress/gzip"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/engine/problem"
)

// stream loads a campaign's first rows and begins to send it.
func (w *world) stream(c *campaign.Campaign) (*Run, *Stream) {
	w.Helper()
	loaded, s, err := w.engine.Stream(w.Context(), c, nil)
	if err != nil {
		w.Fatal(err)
	}
	r, err := w.engine.Start(w.Context(), loaded)
	if err != nil {
		w.Fatal(err)
	}
	return r, s
}

func TestCampaignIsSentWhileItIsLoaded(t *testing.T) {
	w := newWorld(t, "")
	w.tuning.firstSegment = 5
	w.serve("", "a.test", "b.test", "late.test", "b.late.test")
	w.open()
	all := append(people(150, "a.test", "b.test"), people(40, "late.test", "b.late.test")...)
	// Some come a second time, long after the segment that has them.
	r, s := w.stream(w.campaign("c", "", append(all, people(20, "a.test")...)...))
	w.finish(r)
	<-s.Done()
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	w.once(all...)
	n := r.campaign.Totals()
	if n.Rows != 400 || n.Rejected != 20 || n.Loaded != 380 || n.Streaming || n.Finished.IsZero() {
		t.Errorf("totals %+v", n)
	}
	if report := w.report(r); report.Rejects[ledger.ReasonDuplicate] != 20 || report.Counts[ledger.Delivered] != 380 {
		t.Errorf("report %+v", report)
	}
	if c, again, err := w.engine.Stream(t.Context(), w.campaign("c", "", append(all, people(20, "a.test")...)...), nil); err != nil || again != nil || c != r.campaign {
		t.Errorf("a stream of what is loaded: %v, %v, %v", c, again, err)
	}
}

func TestStreamGoesOnWhereItWasCutShort(t *testing.T) {
	w := newWorld(t, "")
	w.tuning.firstSegment = 5
	w.serve("", "a.test", "b.test", "c.test")
	w.open()
	all := people(300, "a.test", "b.test", "c.test")
	c := w.campaign("c", "", all...)

	// Cut before Start: five rows are there, and a plain load does not do.
	loaded, s, err := w.engine.Stream(t.Context(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := loaded.Totals(); n.Rows != 5 || !n.Streaming {
		t.Errorf("totals %+v", n)
	}
	if _, err := w.engine.Load(t.Context(), c, nil, nil); !errors.Is(err, ErrPartly) {
		t.Errorf("load: %v", err)
	}
	// What is there can be sent, but that does not finish the campaign.
	r, err := w.engine.Start(t.Context(), loaded)
	if err != nil {
		t.Fatal(err)
	}
	w.await("five were delivered", func() bool {
		counts, err := loaded.Counts()
		return err == nil && counts[ledger.Delivered] == 5
	})
	if r.Done() {
		t.Error("a campaign of which rows are missing is finished")
	}
	// Cut somewhere in the middle, then never.
	w.reopen()
	w.stream(c)
	w.reopen()
	r, _ = w.stream(w.campaign("c", "", all...))
	w.finish(r)
	w.once(all...)
}

func TestStreamOfADamagedFileSendsWhatItHas(t *testing.T) {
	w := newWorld(t, "")
	w.tuning.firstSegment = 5
	w.serve("", "a.test")
	w.open()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte("email,name\n" + strings.Join(people(20000, "a.test"), ",x\n"))); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	w.write("c.csv.gz", packed.String()[:packed.Len()-2000])
	w.write("c.yaml", "id: c\nfrom: news@sender.test\nsubject: x\ntext: c.txt\nrecipients: c.csv.gz\n")
	w.write("c.txt", "x\n")
	c, problems := campaign.Read(w.dir + "/c.yaml")
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	r, s := w.stream(c)
	<-s.Done()
	if s.Err() == nil || !strings.Contains(s.Err().Error(), "cannot be read further") {
		t.Errorf("error: %v", s.Err())
	}
	w.await("what was loaded is sent", func() bool {
		counts, err := r.campaign.Counts()
		return err == nil && counts[ledger.Pending] == 0
	})
	w.idle(r)
	if r.Done() {
		t.Error("it is finished")
	}
}

func TestWhatCannotBeStreamedIsRefused(t *testing.T) {
	w := newWorld(t, "")
	w.open()
	for name, want := range map[string]string{
		"c.jsonl": "JSON lines have no header",
		"-":       "can be read only once",
	} {
		if name != "-" {
			w.write(name, `{"email": "a@a.test"}`+"\n")
		}
		w.write("c.txt", "x\n")
		path := w.write("c.yaml", "id: c\nfrom: news@sender.test\nsubject: x\ntext: c.txt\nrecipients: \""+name+"\"\n")
		c, problems := campaign.Read(path)
		if err := problems.Err(); err != nil {
			t.Fatal(err)
		}
		_, _, err := w.engine.Stream(t.Context(), c, nil)
		var list problem.List
		if !errors.As(err, &list) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := w.engine.ledger.Campaign("c"); !errors.Is(err, ledger.ErrNoCampaign) {
			t.Errorf("%s: it is there: %v", name, err)
		}
	}
}

// TestCancelEndsALoad: a campaign that is cancelled while its rows still come in
// is finished without them, and can be deleted at once.
func TestCancelEndsALoad(t *testing.T) {
	w := newWorld(t, "")
	w.tuning.firstSegment = 5
	w.serve("", "a.test", "b.test")
	w.open()
	c := w.campaign("c", "", people(40_000, "a.test", "b.test")...)
	far, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	loaded, s, err := w.engine.Stream(t.Context(), c, func(uint64, uint64) {
		once.Do(func() {
			close(far)
			<-goOn
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := w.engine.Start(t.Context(), loaded)
	if err != nil {
		t.Fatal(err)
	}
	<-far
	if err := w.engine.Cancel(t.Context(), loaded); err != nil {
		t.Fatal(err)
	}
	if r.Done() {
		t.Error("it is finished, and its load goes on")
	}
	close(goOn)
	<-s.Done()
	<-r.Finished()
	if s.Err() != nil {
		t.Errorf("the load: %v", s.Err())
	}
	n := loaded.Totals()
	if n.Streaming || n.Finished.IsZero() || n.Loaded == 0 || n.Loaded > 16_384 {
		t.Errorf("totals %+v", n)
	}
	if _, again, err := w.engine.Stream(t.Context(), c, nil); err != nil || again != nil {
		t.Errorf("it is streamed again: %v, %v", again, err)
	}
	if _, err := w.engine.Start(t.Context(), loaded); !errors.Is(err, ErrCancelled) {
		t.Errorf("start: %v", err)
	}
	if err := w.engine.Delete(t.Context(), loaded); err != nil {
		t.Error(err)
	}
}
