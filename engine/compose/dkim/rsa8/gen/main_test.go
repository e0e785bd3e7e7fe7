package main

import (
	"bytes"
	"os"
	"testing"
)

func TestTheAssemblyIsFresh(t *testing.T) {
	t.Parallel()
	have, err := os.ReadFile("../kernels_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, generate()) {
		t.Error("kernels_amd64.s is not what the generator writes: run go generate ./engine/compose/dkim/rsa8")
	}
}
