package bench

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// Names in the table of what signs.
const (
	signsPenstock = "penstock, eight at a time, checked"
	signsGo       = "crypto/rsa"
	signsOpenSSL  = "openssl speed"
)

// signatures measures RSA-2048 signatures in memory, in turns: Penstock's signer
// and crypto/rsa by the signer's own benchmark, and OpenSSL by `openssl speed`,
// where it is installed. CPU time on one thread, all three.
func (r *runner) signatures(ctx context.Context, row *Row, repeats int) {
	source, err := r.top(ctx)
	if _, noGo := exec.LookPath("go"); err != nil || noGo != nil {
		row.Skipped = "needs Go and this repository"
		return
	}
	eight, plain, open := &Result{Program: signsPenstock}, &Result{Program: signsGo}, &Result{Program: signsOpenSSL}
	for n := range repeats {
		row.Calibration = append(row.Calibration, calibrate())
		text, err := output(ctx, source, "go", "test", "-run", "^$", "-bench", "^BenchmarkSignatures$", "-benchtime", "20x", "-count", "1", signer)
		if err != nil {
			row.Failure = err.Error()
			return
		}
		one, two, err := parseSigner(text)
		if err != nil {
			row.Skipped = err.Error()
			return
		}
		eight.Samples, plain.Samples = append(eight.Samples, signatureSample(one)), append(plain.Samples, signatureSample(two))
		fmt.Fprintf(r.log, "%s %d/%d: %.1f us, crypto/rsa %.0f us\n", row.Scenario.Name, n+1, repeats, one, two)
		if _, err := exec.LookPath("openssl"); err != nil {
			continue
		}
		text, err = output(ctx, "", "openssl", "speed", "-mr", "-seconds", "2", "rsa2048")
		if err == nil {
			var us float64
			if us, err = parseOpenSSL(text); err == nil {
				open.Samples = append(open.Samples, signatureSample(us))
			}
		}
		if err != nil {
			row.Failure = err.Error()
			return
		}
	}
	if row.Results = []*Result{eight, plain}; len(open.Samples) > 0 {
		row.Results = append(row.Results, open)
	}
}

// signer is the package whose benchmark compares with crypto/rsa.
const signer = "./engine/compose/dkim/rsa8"

func signatureSample(us float64) *Sample { return &Sample{CPU: us, PerSecond: 1e6 / us} }

// errNoLanes: the processor has no AVX-512 IFMA, or the fast path is turned off.
var errNoLanes = errors.New("no fast path on this processor")

var metric = regexp.MustCompile(`([0-9.]+) (\S+)`)

// parseSigner reads the metrics of BenchmarkSignatures.
func parseSigner(text string) (eight, plain float64, err error) {
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "BenchmarkSignatures") {
			continue
		}
		for _, m := range metric.FindAllStringSubmatch(strings.ReplaceAll(line, "\t", " "), -1) {
			v, _ := strconv.ParseFloat(m[1], 64)
			switch m[2] {
			case "us/signature":
				eight = v
			case "crypto/rsa-us":
				plain = v
			}
		}
	}
	if eight <= 0 || plain <= 0 {
		return 0, 0, errNoLanes
	}
	return eight, plain, nil
}

// parseOpenSSL reads `openssl speed -mr`: "+F2:2:2048:1890.5:65000.1", signatures
// and verifications for each second of CPU.
func parseOpenSSL(text string) (us float64, err error) {
	for line := range strings.Lines(text) {
		if f := strings.Split(strings.TrimSpace(line), ":"); f[0] == "+F2" && len(f) >= 4 {
			if v, err := strconv.ParseFloat(f[3], 64); err == nil && v > 0 {
				return 1e6 / v, nil
			}
		}
	}
	return 0, errors.New("openssl speed: no figure for rsa2048 in what it prints")
}
