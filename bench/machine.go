package bench

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
)

// Machine is where figures come from: they mean little without it.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory string `json:"memory"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	// IFMA: the processor has AVX-512 IFMA, which fast signing needs.
	IFMA bool `json:"avx512ifma"`
	// Load is the one-minute load average when the run began: others at work
	// show here.
	Load string `json:"load"`
}

func thisMachine(ctx context.Context) Machine {
	info := contents("/proc/cpuinfo")
	m := Machine{
		CPU: field(info, "model name"), Cores: runtime.NumCPU(), Memory: field(contents("/proc/meminfo"), "MemTotal"),
		Go: runtime.Version(), IFMA: strings.Contains(info, "avx512ifma"),
	}
	m.Kernel, _ = output(ctx, "", "uname", "-sr")
	m.Load, _, _ = strings.Cut(contents("/proc/loadavg"), " ")
	if m.CPU == "" {
		m.CPU = runtime.GOARCH
	}
	return m
}

// String is one line for the head of a table.
func (m Machine) String() string {
	ifma := ""
	if m.IFMA {
		ifma = " with AVX-512 IFMA"
	}
	return fmt.Sprintf("%s%s, %d cores, %s memory, %s, %s, load %s", m.CPU, ifma, m.Cores, m.Memory, m.Kernel, m.Go, m.Load)
}

// contents is a file's text, empty where there is none: other systems.
func contents(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(text)
}

// field is the first value of "key : value" lines.
func field(text, key string) string {
	for l := range strings.Lines(text) {
		if k, v, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
