package rsa8

import (
	"crypto/x509"
	"encoding/base64"
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

// child carries the key to the processes of the test below, in base64: making
// one takes longer than all that they do with it.
const child = "PENSTOCK_TEST_CHILD"

// A process that the processor's flags, or the variable, keep from the lanes
// signs all the same and never executes one of their instructions: this test
// binary runs itself as such a process.
func TestWithoutLanes(t *testing.T) {
	t.Parallel()
	if text := os.Getenv(child); text != "" {
		signWithoutLanes(t, text)
		return
	}
	der := x509.MarshalPKCS1PrivateKey(testKeys()[0].private)
	for _, setting := range []string{"GODEBUG=cpu.avx512ifma=off", "GODEBUG=cpu.avx512f=off", "GODEBUG=cpu.all=off", Variable + "=generic"} {
		if !hasLanes && strings.HasPrefix(setting, "GODEBUG") {
			continue
		}
		process := exec.Command(os.Args[0], "-test.run=^TestWithoutLanes$", "-test.count=1")
		process.Env = append(os.Environ(), child+"="+base64.StdEncoding.EncodeToString(der), setting)
		if out, err := process.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", setting, err, out)
		}
	}
}

func signWithoutLanes(t *testing.T, text string) {
	if Current() != Generic {
		t.Fatalf("path is %s", Current())
	}
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.ParsePKCS1PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	key, err := NewKey(private)
	if err != nil {
		t.Fatal(err)
	}
	if key.Path() != Generic || key.lanes != nil {
		t.Error("the key is prepared for the lanes")
	}
	jobs := jobsFor(key, key, key)
	s := NewSigner()
	if err := s.Sign(t.Context(), jobs); err != nil {
		t.Fatal(err)
	}
	if s.eight != nil {
		t.Error("the signer has lanes")
	}
	verifyAll(t, jobs)
	jobs = jobsFor(key, key)
	if err := mustBatcher(t, Options{}).Sign(t.Context(), jobs); err != nil {
		t.Fatal(err)
	}
	verifyAll(t, jobs)
}
