package rsa8

import (
	"os"
	"strings"
)

// Variable is the environment variable that switches the eight lanes off when
// it is "generic". The build tag purego leaves them out altogether.
const Variable = "PENSTOCK_RSA"

// Path is a way to make signatures.
type Path string

const (
	// Eight is the eight lanes, for the keys that fit them.
	Eight Path = "eight lanes, AVX-512 IFMA"
	// Generic is crypto/rsa, one at a time.
	Generic Path = "crypto/rsa"
)

// path is decided once, when the process starts.
var path = choosePath(hasLanes, os.Getenv(Variable))

func choosePath(hasLanes bool, variable string) Path {
	if !hasLanes || strings.EqualFold(variable, "generic") {
		return Generic
	}
	return Eight
}

// Current is the path that this process takes.
func Current() Path { return path }
