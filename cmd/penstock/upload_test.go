package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

// TestWhatIsReadOnceCanBeSentAgain up to what was acknowledged, and no further.
func TestWhatIsReadOnceCanBeSentAgain(t *testing.T) {
	t.Parallel()
	content := make([]byte, 3<<20)
	for i := range content {
		content[i] = byte(rand.Uint32())
	}
	o := newOnce(io.NopCloser(iotest.HalfReader(bytes.NewReader(content))))
	buf := make([]byte, 100_000)
	var acknowledged uint64
	for at := uint64(0); ; {
		n, err := o.read(t.Context(), at, buf)
		if !bytes.Equal(buf[:n], content[at:at+uint64(n)]) {
			t.Fatalf("other octets at %d", at)
		}
		if err == io.EOF {
			if at+uint64(n) != uint64(len(content)) {
				t.Errorf("ends at %d", at+uint64(n))
			}
			break
		}
		if err != nil || n == 0 {
			t.Fatalf("%d octets, %v", n, err)
		}
		at += uint64(n)
		switch rand.IntN(4) {
		case 0:
			acknowledged += rand.Uint64N(at - acknowledged + 1)
			o.acknowledge(acknowledged)
		case 1:
			at = acknowledged // the connection broke
		}
	}
	o.acknowledge(1000)
	if _, err := o.read(t.Context(), 0, buf); acknowledged > 0 && err == nil {
		t.Error("what was acknowledged is there again")
	}
}

func TestReadOnceEndsWithItsContext(t *testing.T) {
	t.Parallel()
	silent, w := io.Pipe()
	defer w.Close()
	o := newOnce(silent)
	defer o.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := o.read(ctx, 0, make([]byte, 10)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	broken := errors.New("broken by the test")
	o = newOnce(io.NopCloser(iotest.ErrReader(broken)))
	if _, err := o.read(t.Context(), 0, make([]byte, 10)); !errors.Is(err, broken) {
		t.Error(err)
	}
}
