package ledger

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func drawTime(t *rapid.T, label string) time.Time {
	return fromMillis(rapid.Int64Range(1, 4_000_000_000_000).Draw(t, label))
}

func TestRecordsComeBackAsTheyWent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		u16 := rapid.Uint16()
		e := event{
			state: State(rapid.IntRange(0, NumStates-1).Draw(t, "state")), attempted: rapid.Bool().Draw(t, "attempted"),
			returned: rapid.Bool().Draw(t, "returned"), queued: rapid.Bool().Draw(t, "queued"), at: drawTime(t, "at"),
			command: rapid.Byte().Draw(t, "command"), code: u16.Draw(t, "code"), enhanced: [3]uint16{u16.Draw(t, "a"), u16.Draw(t, "b"), u16.Draw(t, "c")},
			peer: rapid.Uint32().Draw(t, "peer"), anomaly: rapid.Byte().Draw(t, "anomaly"), counted: rapid.Bool().Draw(t, "counted"), text: rapid.SliceOf(rapid.Byte()).Draw(t, "text"),
		}
		if e.attempted {
			e.took = time.Duration(rapid.Int64Range(0, 1e10).Draw(t, "took")) * time.Microsecond
		}
		if e.queued {
			e.due, e.bucket = drawTime(t, "due"), rapid.Uint32().Draw(t, "bucket")
		}
		if len(e.text) == 0 {
			e.text = nil
		}
		if got, err := decodeEvent(e.append(nil)); err != nil || !reflect.DeepEqual(got, e) {
			t.Fatalf("event %+v came back as %+v, %v", e, got, err)
		}
		w := waiting{was: e.state, attempts: u16.Draw(t, "attempts"), due: drawTime(t, "due of waiting")}
		if got, err := decodeWaiting(w.append(nil)); err != nil || got != w {
			t.Fatalf("waiting %+v came back as %+v, %v", w, got, err)
		}
		d := domainRecord{
			loaded: rapid.Uint32().Draw(t, "loaded"), fresh: rapid.Uint32().Draw(t, "fresh"), low: Seq(rapid.Uint32().Draw(t, "low")),
			high: Seq(rapid.Uint32().Draw(t, "high")), qhigh: place{rapid.Uint32().Draw(t, "bucket"), Seq(rapid.Uint32().Draw(t, "seq"))},
		}
		d.counts[3] = rapid.Uint32().Draw(t, "count")
		if rapid.Bool().Draw(t, "trouble") {
			d.trouble = &Trouble{rapid.String().Draw(t, "reason"), drawTime(t, "since"), drawTime(t, "next")}
		}
		site := rapid.String().Draw(t, "site")
		in := d
		in.site = site
		if got, s, err := decodeDomain(in.append(nil)); err != nil || string(s) != site || !reflect.DeepEqual(got, d) {
			t.Fatalf("domain %+v came back as %+v, %v", d, got, err)
		}
	})
}

func TestKeysComeBackAndSort(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		domain := rapid.StringMatching(`[a-z.-]{1,20}`)
		type key struct {
			domain string
			seq    Seq
			n      uint16
		}
		draw := func(name string) key {
			return key{domain.Draw(t, name), Seq(rapid.Uint32().Draw(t, name)), rapid.Uint16().Draw(t, name)}
		}
		a, b := draw("a"), draw("b")
		ka := appendHistoryKey(nil, 7, a.domain, a.seq, a.n)
		kb := appendHistoryKey(nil, 7, b.domain, b.seq, b.n)
		d, seq, n, err := splitHistoryKey(ka)
		if err != nil || (key{string(d), seq, n}) != a {
			t.Fatalf("key %+v came back as %s %d %d, %v", a, d, seq, n, err)
		}
		less := a.domain < b.domain || a.domain == b.domain && (a.seq < b.seq || a.seq == b.seq && a.n < b.n)
		if less != (bytes.Compare(ka, kb) < 0) {
			t.Fatalf("%+v and %+v sort otherwise", a, b)
		}
		at := place{uint32(a.seq), b.seq}
		if d, got, err := splitQueueKey(appendQueueKey(nil, 7, a.domain, at)); err != nil || got != at || string(d) != a.domain {
			t.Fatalf("place %+v came back as %+v, %v", at, got, err)
		}
	})
}

func TestReplyTextsKeepTheirShape(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, shape string }{
		{"", ""},
		{"OK", "OK"},
		{"2.0.0 Ok: queued as 4XyZ12", "… Ok: queued as …"},
		{"2.0.0 Ok: queued as ABCDEF", "… Ok: queued as …"},
		{"OK id=1sXyZ-0004", "OK …"},
		{"<bob@example.org>: Recipient address rejected", "<…>: Recipient address rejected"},
		{"user <bob> unknown.", "user <…> unknown."},
		{"Try again in 300 seconds,\nplease (code 42).", "Try again in … seconds,\nplease (code …)."},
		{"... 1 ... 2", "... … ... …"},
	} {
		parts, ok := splitText(c.text, nil)
		if got := readable(string(appendShape(nil, c.text, parts))); !ok || got != c.shape {
			t.Errorf("%q has the shape %q, want %q", c.text, got, c.shape)
		}
	}
}

// encodeText is a text as a group would store it, in a dictionary of its own.
func encodeText(s *shapes, text string) []byte {
	parts, ok := splitText(text, nil)
	shape := appendShape(nil, text, parts)
	if !ok {
		return append([]byte{0}, text...)
	}
	out := []byte{byte(s.add(string(shape)))}
	for _, p := range parts {
		out = appendBytes(out, text[p.from:p.to])
	}
	return out
}

func FuzzReplyTextIsKeptWithoutLoss(f *testing.F) {
	for _, s := range []string{"OK", "2.0.0 Ok: queued as 4F", "a\x00b 1", "<> () 1", "<1>", "\n 5 \n", "as as as"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := &shapes{ids: make(map[string]uint32)}
		if got, err := s.decodeText(encodeText(s, text)); text != "" && (err != nil || got != text) {
			t.Errorf("%q came back as %q, %v", text, got, err)
		}
	})
}

// FuzzDecode feeds every parser of what is on disk: none may panic, and what
// is read can be written and read again.
func FuzzDecode(f *testing.F) {
	e := event{state: Deferred, attempted: true, queued: true, at: day, due: day, code: 450, peer: 3, text: []byte{0, 'x'}}
	f.Add(e.append(nil))
	d := domainRecord{loaded: 3, site: "s", trouble: &Trouble{Reason: "r"}}
	f.Add(d.append(nil))
	f.Add(appendReject(nil, &Reject{Reason: "r", Line: 3, Address: "a@b"}))
	f.Add(appendPeer(nil, &Peer{Host: "h", Addr: addrPort("192.0.2.1:25")}))
	f.Add(appendRecipient(nil, 1, []byte("l"), []byte("f")))
	var log eventLog
	log.add(1, "d.example", 7, 2)
	log.add(1, "d.example", 9, 1)
	log.rejects(1, rejectRanges{{3, 9, 2}}, day)
	if err := log.notice(&Notice{Change: ChangePaused}); err != nil {
		f.Fatal(err)
	}
	f.Add(log.record)
	f.Fuzz(func(t *testing.T, v []byte) {
		if e, err := decodeEvent(v); err == nil {
			if again, err := decodeEvent(e.append(nil)); err != nil || !bytes.Equal(again.append(nil), e.append(nil)) {
				t.Errorf("event %+v became %+v, %v", e, again, err)
			}
		}
		if d, site, err := decodeDomain(v); err == nil {
			d.site = string(site)
			if again, s, err := decodeDomain(d.append(nil)); err != nil || string(s) != d.site || again.counts != d.counts {
				t.Errorf("domain %+v became %+v, %v", d, again, err)
			}
		}
		decodeWaiting(v)
		decodeReject(v)
		decodePeer(v)
		decodeRecipient(v)
		decodeReplyKey(v)
		readRow(v)
		readSuspect(v, v)
		splitHistoryKey(v)
		splitQueueKey(v)
		splitSeqKey(v)
		eachEntry(v, func(*entry) error { return nil })
		(&shapes{}).decodeText(v)
	})
}
