package stats

import (
	"fmt"
	"os"
	"runtime/pprof"
	"sync"
)

// ProfileEnv names a file for a CPU profile of a sender: from its first Begin
// until it writes its figures. The harness sets it when asked for profiles.
const ProfileEnv = "PENSTOCK_BENCH_PROFILE"

// profiling is the profile of this process, of which there can be one.
var profiling struct {
	once sync.Once
	file *os.File
	err  error
}

func beginProfile() {
	profiling.once.Do(func() {
		path := os.Getenv(ProfileEnv)
		if path == "" {
			return
		}
		if profiling.file, profiling.err = os.Create(path); profiling.err == nil {
			profiling.err = pprof.StartCPUProfile(profiling.file)
		}
	})
}

// endProfile completes the profile, if there is one.
func endProfile() error {
	if profiling.err != nil {
		return fmt.Errorf("stats: profile: %w", profiling.err)
	}
	if profiling.file == nil {
		return nil
	}
	pprof.StopCPUProfile()
	if err := profiling.file.Close(); err != nil {
		return fmt.Errorf("stats: profile: %w", err)
	}
	profiling.file = nil
	return nil
}
