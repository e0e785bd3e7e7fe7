package trial

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// CPU is the processor time that a running process has used, user and system; 0
// where there is no /proc.
func (p *Process) CPU() time.Duration {
	// proc(5): the name stands in parentheses; utime and stime are the 12th and
	// 13th field behind it, in hundredths of a second.
	fields := p.proc("stat")
	if i := strings.LastIndexByte(fields, ')'); i >= 0 {
		if f := strings.Fields(fields[i+1:]); len(f) > 12 {
			user, _ := strconv.ParseInt(f[11], 10, 64)
			system, _ := strconv.ParseInt(f[12], 10, 64)
			return time.Duration(user+system) * 10 * time.Millisecond
		}
	}
	return 0
}

// Resident is the memory of a running process in octets; 0 where there is no
// /proc.
func (p *Process) Resident() int64 {
	for line := range strings.Lines(p.proc("status")) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10
		}
	}
	return 0
}

func (p *Process) proc(file string) string {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/" + file)
	if err != nil {
		return ""
	}
	return string(text)
}
