//go:build amd64 && !purego

package rsa8

import "golang.org/x/sys/cpu"

// hasLanes: the processor has the instructions, and the system saves the
// registers. The kernels use AVX-512 F and IFMA, nothing else.
// GODEBUG=cpu.avx512ifma=off hides them.
var hasLanes = cpu.X86.HasAVX512F && cpu.X86.HasAVX512IFMA
