package rsa8

import (
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// key3072 goes by crypto/rsa everywhere.
var key3072 = sync.OnceValue(func() *Key {
	private, err := rsa.GenerateKey(nil, 3072)
	if err != nil {
		panic(err)
	}
	key, err := NewKey(private)
	if err != nil {
		panic(err)
	}
	return key
})

func jobsFor(keys ...*Key) []*Job {
	var jobs []*Job
	for i, k := range keys {
		jobs = append(jobs, &Job{Key: k, Digest: [32]byte{1, byte(i)}, Signature: make([]byte, k.Size())})
	}
	return jobs
}

func verifyAll(t *testing.T, jobs []*Job) {
	t.Helper()
	for i, j := range jobs {
		if err := rsa.VerifyPKCS1v15(j.Key.Public(), crypto.SHA256, j.Digest[:], j.Signature); err != nil {
			t.Errorf("job %d of %d: %v", i, len(jobs), err)
		}
	}
}

func mustBatcher(t testing.TB, o Options) *Batcher {
	t.Helper()
	b, err := NewBatcher(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func TestManyCallersOfAnyKey(t *testing.T) {
	t.Parallel()
	b := mustBatcher(t, Options{Workers: 3})
	var callers sync.WaitGroup
	for i := range 12 {
		callers.Go(func() {
			k := testKeys()
			keys := []*Key{k[0], k[i%len(k)], k[1]}
			if i%4 == 0 {
				keys = append(keys, key3072())
			}
			jobs := jobsFor(append(keys, keys[:i%3]...)...)
			if err := b.Sign(t.Context(), jobs); err != nil {
				t.Error(err)
			}
			verifyAll(t, jobs)
		})
	}
	callers.Wait()
}

// In a bubble time passes only when everybody waits, so this is exact.
func TestAPartialBatchWaitsForTheLingerAndNoLonger(t *testing.T) {
	needLanesOfKeys(t)
	k := testKeys()[0]
	synctest.Test(t, func(t *testing.T) {
		b := mustBatcher(t, Options{Workers: 2, Linger: 2 * time.Millisecond})
		for _, c := range []struct {
			jobs int
			want time.Duration
		}{{1, 2 * time.Millisecond}, {7, 2 * time.Millisecond}, {8, 0}, {16, 0}, {9, 2 * time.Millisecond}} {
			keys := make([]*Key, c.jobs)
			for i := range keys {
				keys[i] = k
			}
			jobs := jobsFor(keys...)
			start := time.Now()
			if err := b.Sign(t.Context(), jobs); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took != c.want {
				t.Errorf("%d jobs took %v, want %v", c.jobs, took, c.want)
			}
			verifyAll(t, jobs)
		}
	})
}

func TestCallersFillOneBatch(t *testing.T) {
	needLanesOfKeys(t)
	k := testKeys()[0]
	synctest.Test(t, func(t *testing.T) {
		b := mustBatcher(t, Options{Workers: 2, Linger: 2 * time.Millisecond})
		start := time.Now()
		var callers sync.WaitGroup
		for i := range lanes {
			callers.Go(func() {
				// The last one comes just before the linger of the first ends.
				time.Sleep(time.Duration(i) * 200 * time.Microsecond)
				if err := b.Sign(t.Context(), jobsFor(k)); err != nil {
					t.Error(err)
				}
			})
		}
		callers.Wait()
		if took := time.Since(start); took != 7*200*time.Microsecond {
			t.Errorf("eight callers took %v, want 1.4ms: they were not one batch", took)
		}
	})
}

func TestOtherKeysDoNotLinger(t *testing.T) {
	k := key3072()
	synctest.Test(t, func(t *testing.T) {
		b := mustBatcher(t, Options{Workers: 1, Linger: 2 * time.Millisecond})
		start := time.Now()
		if err := b.Sign(t.Context(), jobsFor(k)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("one by one took %v of waiting", took)
		}
	})
}

func TestACancelledCallerGetsItsJobsBack(t *testing.T) {
	needLanesOfKeys(t)
	k := testKeys()[0]
	synctest.Test(t, func(t *testing.T) {
		b := mustBatcher(t, Options{Workers: 1, Linger: 2 * time.Millisecond})
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		start := time.Now()
		if err := b.Sign(ctx, jobsFor(k, k, k)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took != time.Millisecond {
			t.Errorf("took %v to give up, want 1ms", took)
		}
		if len(b.eights) != 0 {
			t.Errorf("%d jobs left in the queue", len(b.eights))
		}
		// The batcher goes on for the others.
		jobs := jobsFor(k)
		if err := b.Sign(t.Context(), jobs); err != nil {
			t.Error(err)
		}
		verifyAll(t, jobs)
		if err := b.Sign(ctx, jobs); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a dead context: %v", err)
		}
	})
}

func TestCloseSignsWhatWaits(t *testing.T) {
	needLanesOfKeys(t)
	k := testKeys()[0]
	synctest.Test(t, func(t *testing.T) {
		b := mustBatcher(t, Options{Workers: 3, Linger: 2 * time.Millisecond})
		jobs := jobsFor(k, k, k)
		result := make(chan error, 1)
		start := time.Now()
		go func() { result <- b.Sign(t.Context(), jobs) }()
		synctest.Wait() // it waits for company
		b.Close()
		if err := <-result; err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("lingered %v although nobody can come", took)
		}
		verifyAll(t, jobs)
		if err := b.Sign(t.Context(), jobs); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		b.Close()
	})
}

func TestWrongOptionsAndJobs(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{Workers: -1}, {Workers: 1025}, {Linger: -1}, {Linger: MaxLinger + 1}} {
		if _, err := NewBatcher(o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
	b := mustBatcher(t, Options{})
	k := testKeys()[0]
	short := []*Job{{Key: k, Signature: make([]byte, 255)}}
	if err := b.Sign(t.Context(), short); err == nil {
		t.Error("255 bytes for 256 were taken")
	}
	if err := NewSigner().Sign(t.Context(), short); err == nil {
		t.Error("the signer took 255 bytes for 256")
	}
	if err := b.Sign(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

// needLanesOfKeys skips where every key goes by crypto/rsa and nothing lingers.
func needLanesOfKeys(t *testing.T) {
	t.Helper()
	if Current() != Eight {
		t.Skip("nothing lingers without lanes")
	}
}
