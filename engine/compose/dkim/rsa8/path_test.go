package rsa8

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestPath(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lanes    bool
		variable string
		want     Path
	}{
		{true, "", Eight},
		{true, "generic", Generic},
		{true, "GENERIC", Generic},
		{true, "other", Eight},
		{false, "", Generic},
		{false, "generic", Generic},
	} {
		if got := choosePath(c.lanes, c.variable); got != c.want {
			t.Errorf("lanes %v, %q: %s, want %s", c.lanes, c.variable, got, c.want)
		}
	}
}

// A process that the processor's flags, or the variable, keep from the lanes
// signs all the same and never executes one of their instructions: this test
// binary runs itself as such a process.
func TestWithoutLanes(t *testing.T) {
	t.Parallel()
	if os.Getenv("PENSTOCK_TEST_CHILD") != "" {
		if Current() != Generic {
			t.Fatalf("path is %s", Current())
		}
		keys := []*Key{testKeys()[0], testKeys()[1], key3072()}
		jobs := jobsFor(keys...)
		for _, k := range keys {
			if k.Path() != Generic || k.lanes != nil {
				t.Error("a key is prepared for the lanes")
			}
		}
		s := NewSigner()
		if err := s.Sign(context.Background(), jobs); err != nil {
			t.Fatal(err)
		}
		if s.eight != nil {
			t.Error("the signer has lanes")
		}
		verifyAll(t, jobs)
		b := mustBatcher(t, Options{})
		jobs = jobsFor(keys...)
		if err := b.Sign(t.Context(), jobs); err != nil {
			t.Fatal(err)
		}
		verifyAll(t, jobs)
		return
	}
	for _, setting := range []string{"GODEBUG=cpu.avx512ifma=off", "GODEBUG=cpu.avx512f=off", "GODEBUG=cpu.all=off", Variable + "=generic"} {
		if !hasLanes && strings.HasPrefix(setting, "GODEBUG") {
			continue
		}
		child := exec.Command(os.Args[0], "-test.run=^TestWithoutLanes$", "-test.count=1")
		child.Env = append(os.Environ(), "PENSTOCK_TEST_CHILD=1", setting)
		if out, err := child.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", setting, err, out)
		}
	}
}
