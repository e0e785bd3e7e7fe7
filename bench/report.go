package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Report is everything that a call of Run found out.
type Report struct {
	Began    time.Time `json:"began"`
	Machine  Machine   `json:"machine"`
	Programs []string  `json:"programs"`
	// Command is how the report was made.
	Command []string `json:"command"`
	Rows    []*Row   `json:"rows"`
}

// Row is a scenario and what came of it.
type Row struct {
	Scenario *Scenario `json:"scenario"`
	Results  []*Result `json:"results,omitempty"`
	// Skipped and Failure say why there are no figures.
	Skipped string `json:"skipped,omitempty"`
	Failure string `json:"failure,omitempty"`
	// Calibration is seconds for a fixed piece of work before each run.
	Calibration []float64 `json:"calibration_s,omitempty"`
	// Noisy: the machine or the runs varied by more than a tenth.
	Noisy bool `json:"noisy"`
	// Verdict is met, or what was missed; empty without a target.
	Verdict string `json:"verdict,omitempty"`
	// Difference compares two programs.
	Difference *Difference `json:"difference,omitempty"`
}

// Result is one program's runs of a scenario.
type Result struct {
	Program string    `json:"program"`
	Samples []*Sample `json:"samples"`
	// Rate and CPU are the spread of messages a second and microseconds.
	Rate Spread `json:"messages_per_second"`
	CPU  Spread `json:"cpu_us"`
}

// Spread is several runs of one figure.
type Spread struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

// Width is the distance of the extremes as a part of the median.
func (s Spread) Width() float64 {
	if s.Median == 0 {
		return 0
	}
	return (s.High - s.Low) / s.Median
}

// Difference is the second program against the first, as factors, and whether
// the runs of one lie wholly beside those of the other, three of each at least:
// of two senders that are alike, that happens by chance to one comparison in ten
// with three runs each, in 35 with four, in 126 with five.
type Difference struct {
	Rate      float64 `json:"messages_per_second"`
	CPU       float64 `json:"cpu"`
	RateClear bool    `json:"messages_per_second_clear"`
	CPUClear  bool    `json:"cpu_clear"`
}

// noise is the variation from which on figures are marked.
const noise = 0.10

// fewest runs of each program tell a difference from noise.
const fewest = 3

func spread(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	v := slices.Sorted(slices.Values(values))
	return Spread{Median: median(v), Low: v[0], High: v[len(v)-1]}
}

// median expects sorted values, at least one.
func median(v []float64) float64 {
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// typical is the median of a figure over a result's samples.
func (r *Result) typical(of func(*Sample) float64) float64 {
	var v []float64
	for _, s := range r.Samples {
		v = append(v, of(s))
	}
	return spread(v).Median
}

func newReport(ctx context.Context, o Options, programs []*Program) *Report {
	r := &Report{Began: time.Now(), Machine: thisMachine(ctx), Command: os.Args}
	for _, p := range programs {
		r.Programs = append(r.Programs, strings.TrimSpace(p.Name+" "+p.Version))
	}
	return r
}

// judge works out spreads, noise, differences and verdicts.
func (r *Report) judge() {
	for _, row := range r.Rows {
		row.Noisy = spread(row.Calibration).Width() > noise
		for _, res := range row.Results {
			var rate, cpu []float64
			for _, s := range res.Samples {
				rate, cpu = append(rate, s.PerSecond), append(cpu, s.CPU)
			}
			res.Rate, res.CPU = spread(rate), spread(cpu)
			row.Noisy = row.Noisy || res.CPU.Width() > noise || res.Rate.Width() > noise
		}
		if len(row.Results) == 2 && len(row.Results[1].Samples) > 0 && !row.Scenario.Signatures {
			row.Difference = differ(row.Results[0], row.Results[1])
		}
	}
	for _, row := range r.Rows {
		row.Verdict = r.verdict(row)
	}
}

func differ(a, b *Result) *Difference {
	enough := min(len(a.Samples), len(b.Samples)) >= fewest
	apart := func(a, b Spread) bool { return enough && (a.High < b.Low || b.High < a.Low) }
	return &Difference{
		Rate: b.Rate.Median / a.Rate.Median, CPU: b.CPU.Median / a.CPU.Median,
		RateClear: apart(a.Rate, b.Rate), CPUClear: apart(a.CPU, b.CPU),
	}
}

// verdict compares the first program's medians with the target.
func (r *Report) verdict(row *Row) string {
	t := row.Scenario.Target
	if t == (Target{}) || len(row.Results) == 0 || len(row.Results[0].Samples) == 0 {
		return ""
	}
	res := row.Results[0]
	var missed []string
	check := func(what string, got, limit float64, atLeast bool) {
		if limit != 0 && (math.IsNaN(got) || atLeast && got < limit || !atLeast && got > limit) {
			missed = append(missed, fmt.Sprintf("%s %s, wanted %s", what, figure(got), figure(limit)))
		}
	}
	check("messages/s", res.Rate.Median, t.PerSecond, true)
	check("messages/s a connection", res.Rate.Median/float64(row.Scenario.Connections), t.PerConnection, true)
	check("CPU us", res.CPU.Median, t.CPU, false)
	check("load CPU us", res.typical(func(s *Sample) float64 { return s.LoadCPU }), t.LoadCPU, false)
	check("peak MB", res.typical(func(s *Sample) float64 { return s.PeakMB }), t.PeakMB, false)
	check("allocs", res.typical(func(s *Sample) float64 { return s.Allocations }), t.Allocations, false)
	for program, limit := range map[string]float64{signsGo: t.CryptoRSA, signsOpenSSL: t.OpenSSL} {
		if i := slices.IndexFunc(row.Results, func(o *Result) bool { return o.Program == program }); i >= 0 {
			check(program+" against it", row.Results[i].CPU.Median/res.CPU.Median, limit, true)
		} else if limit != 0 {
			missed = append(missed, "not compared: "+program+" is not installed")
		}
	}
	if t.Of != "" {
		i := slices.IndexFunc(r.Rows, func(o *Row) bool {
			return o.Scenario.Name == t.Of && len(o.Results) > 0 && len(o.Results[0].Samples) > 0
		})
		if i < 0 {
			missed = append(missed, "not compared: "+t.Of+" did not run")
		} else {
			times := res.CPU.Median / r.Rows[i].Results[0].CPU.Median
			check("CPU against "+t.Of, times, t.Times, false)
			check("CPU against "+t.Of, times, t.AtLeastTimes, true)
		}
	}
	if len(missed) == 0 {
		return "met"
	}
	slices.Sort(missed)
	return strings.Join(missed, "; ")
}

// failed is an error if a scenario gave no figures though it should have.
func (r *Report) failed() error {
	var errs []error
	for _, row := range r.Rows {
		if row.Failure != "" {
			errs = append(errs, fmt.Errorf("scenario %s: %s", row.Scenario.Name, row.Failure))
		}
	}
	return errors.Join(errs...)
}

// figure prints three significant digits, whole numbers from 100 on.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "-"
	case v == 0:
		return "0"
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2g", v)
}

// columns of the table, by sample.
var columns = []struct {
	title string
	of    func(*Sample) float64
}{
	{"end to end/s", func(s *Sample) float64 { return s.EndToEnd }},
	{"load us", func(s *Sample) float64 { return s.LoadCPU }},
	{"send us", func(s *Sample) float64 { return s.SendCPU }},
	{"sink us", func(s *Sample) float64 { return s.SinkCPU }},
	{"allocs", func(s *Sample) float64 { return s.Allocations }},
	{"peak MB", func(s *Sample) float64 { return s.PeakMB }},
	{"round trips", func(s *Sample) float64 { return s.RoundTrips }},
	{"disk B", func(s *Sample) float64 { return s.Written }},
	{"fsyncs", func(s *Sample) float64 { return s.Syncs }},
	{"size B", func(s *Sample) float64 { return s.Size }},
}

// table prints Markdown, aligned so that it reads well on a terminal too.
func (r *Report) table(out io.Writer) {
	fmt.Fprintf(out, "%s; %s\n\n", r.Machine, strings.Join(r.Programs, " against "))
	head := []string{"scenario", "program", "messages/s", "±", "CPU us", "±"}
	for _, c := range columns {
		head = append(head, c.title)
	}
	rows := [][]string{append(head, "target")}
	for _, row := range r.Rows {
		rows = append(rows, row.cells()...)
	}
	widths := make([]int, len(rows[0]))
	for _, cells := range rows {
		for i, c := range cells {
			widths[i] = max(widths[i], len([]rune(c)))
		}
	}
	for n, cells := range rows {
		var b strings.Builder
		for i, c := range cells {
			pad := strings.Repeat(" ", widths[i]-len([]rune(c)))
			if i < 2 || i == len(cells)-1 {
				b.WriteString("| " + c + pad + " ")
			} else {
				b.WriteString("| " + pad + c + " ")
			}
		}
		fmt.Fprintln(out, b.String()+"|")
		if n == 0 {
			b.Reset()
			for i, w := range widths {
				if i < 2 || i == len(widths)-1 {
					b.WriteString("|" + strings.Repeat("-", w+2))
				} else {
					b.WriteString("|" + strings.Repeat("-", w+1) + ":")
				}
			}
			fmt.Fprintln(out, b.String()+"|")
		}
	}
	for _, row := range r.Rows {
		if row.Failure != "" {
			fmt.Fprintf(out, "\n%s failed: %s\n", row.Scenario.Name, row.Failure)
		}
		if d := row.Difference; d != nil {
			fmt.Fprintf(out, "\n%s: %s has %s messages/s (%s) and %s CPU (%s) of %s.\n", row.Scenario.Name, row.Results[1].Program,
				times(d.Rate), clarity(d.RateClear), times(d.CPU), clarity(d.CPUClear), row.Results[0].Program)
		}
	}
}

func times(f float64) string { return fmt.Sprintf("%.2f times the", f) }

func clarity(c bool) string {
	if c {
		return "beyond the noise"
	}
	return "within the noise"
}

func (row *Row) cells() (rows [][]string) {
	blank := func(program, note string) []string {
		c := []string{row.Scenario.Name, program}
		for range 4 + len(columns) {
			c = append(c, "")
		}
		return append(c, note)
	}
	if row.Skipped != "" {
		return [][]string{blank("", "skipped: "+row.Skipped)}
	}
	for i, res := range row.Results {
		if len(res.Samples) == 0 {
			continue
		}
		c := []string{row.Scenario.Name, res.Program, figure(res.Rate.Median), percent(res.Rate), figure(res.CPU.Median), percent(res.CPU)}
		for _, col := range columns {
			if row.Scenario.Signatures {
				c = append(c, "") // nothing was sent
			} else {
				c = append(c, figure(res.typical(col.of)))
			}
		}
		note := ""
		if i == 0 {
			note = row.Verdict
		}
		if row.Noisy {
			note = strings.TrimPrefix(note+"; noisy", "; ")
		}
		if n := res.typical(func(s *Sample) float64 { return float64(s.Improper) }); n > 0 {
			note = strings.TrimPrefix(note+"; commands sent too early: "+figure(n), "; ")
		}
		rows = append(rows, append(c, note))
	}
	if row.Failure != "" {
		rows = append(rows, blank("", "failed: see below"))
	}
	return rows
}

func percent(s Spread) string { return fmt.Sprintf("%.0f%%", 50*s.Width()) }

// save writes the report where results are kept.
func (r *runner) save(report *Report) error {
	dir := r.options.Out
	if dir == "" {
		if st, err := os.Stat("bench"); err != nil || !st.IsDir() {
			return nil
		}
		dir = filepath.Join("bench", "out")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	base := filepath.Join(dir, report.Began.UTC().Format("20060102-150405"))
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if err := os.WriteFile(base+".json", append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	var md strings.Builder
	fmt.Fprintf(&md, "# %s\n\nMade by `%s`.\n\n", report.Began.UTC().Format("2006-01-02 15:04 UTC"), strings.Join(report.Command, " "))
	report.table(&md)
	if err := os.WriteFile(base+".md", []byte(md.String()), 0o644); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	fmt.Fprintf(r.log, "wrote %s.json and .md\n", base)
	return nil
}
