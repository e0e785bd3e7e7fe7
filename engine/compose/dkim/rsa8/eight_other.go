//go:build !amd64 || purego

package rsa8

import "crypto/rsa"

// hasLanes: there are none here, so no key is prepared for them, and nothing
// below ever runs.
const hasLanes = false

type (
	prepared struct{}
	eight    struct{}
)

func prepare(*rsa.PrivateKey) *prepared { return nil }

func newEight() *eight { return nil }

func (*eight) sign([]*Job) (failed [lanes]bool) { panic("rsa8: no lanes in this build") }
