package trial

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/ledger"
)

// Place is a working directory with a campaign's files and a data directory. It
// is not for several goroutines.
type Place struct {
	t testing.TB
	// Dir is the directory that commands run in.
	Dir string
	// Data is the data directory; New puts it below Dir.
	Data string
}

// New makes an empty place that goes away with the test. Its path is short, as
// that of a Unix socket has to be.
func New(t testing.TB) *Place {
	t.Helper()
	dir, err := os.MkdirTemp("", "penstock-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the place: %v", err)
		}
	})
	return &Place{t: t, Dir: dir, Data: filepath.Join(dir, "penstock-data")}
}

// Write makes a file of the place.
func (p *Place) Write(name, content string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.Dir, name), []byte(content), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// Start starts penstock with the place's data directory.
func (p *Place) Start(args ...string) *Process {
	p.t.Helper()
	return start(p.t, p.Dir, program, append(args, "--data", p.Data)...)
}

// Run runs penstock to its end.
func (p *Place) Run(args ...string) Result {
	p.t.Helper()
	return p.Start(args...).Wait()
}

// RunUnder runs penstock below another program, such as a shell that sets
// limits: "$@" in its last argument is penstock's command line.
func (p *Place) RunUnder(wrapper []string, args ...string) Result {
	p.t.Helper()
	all := append(wrapper[1:len(wrapper):len(wrapper)], program)
	all = append(append(all, args...), "--data", p.Data)
	return start(p.t, p.Dir, wrapper[0], all...).Wait()
}

// Verify fails the test unless the ledger's proof holds.
func (p *Place) Verify() {
	p.t.Helper()
	if r := p.Run("verify"); r.Code != 0 {
		p.t.Errorf("verify: %v", r)
	}
}

// Counts are those of the report.
type Counts struct {
	Rows, Rejected, Loaded, Pending, Delivered, Deferred, Bounced, Expired, Suppressed, Cancelled, Uncertain int
}

// Report is the part of the report that the proofs look at.
type Report struct {
	Counts            Counts
	UncertainAttempts int `json:"uncertain_attempts"`
	Sites             []struct{ Site, Trouble string }
	Anomalies         map[string]int
}

// Report asks for a campaign's report; ok is false when there is no such
// campaign.
func (p *Place) Report(id string) (r Report, ok bool) {
	p.t.Helper()
	res := p.Run("report", id, "--format", "json")
	if res.Code != 0 {
		return r, false
	}
	if err := json.Unmarshal([]byte(res.Stdout), &r); err != nil {
		p.t.Fatalf("report: %v\n%v", err, res)
	}
	return r, true
}

// Recipient is a line of an export.
type Recipient struct {
	Seq            int
	Address, State string
	Attempts       int
	Host           string
	Code           int
	Reply          string
}

// Export lists all recipients by address.
func (p *Place) Export(id string) map[string]Recipient {
	p.t.Helper()
	res := p.Run("export", id, "--format", "csv")
	if res.Code != 0 {
		p.t.Fatalf("export: %v", res)
	}
	rows, err := csv.NewReader(strings.NewReader(res.Stdout)).ReadAll()
	if err != nil || len(rows) == 0 {
		p.t.Fatalf("export: %v", err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	number := func(row []string, name string) int {
		n, _ := strconv.Atoi(row[column[name]]) // empty: none
		return n
	}
	all := make(map[string]Recipient, len(rows))
	for _, row := range rows[1:] {
		r := Recipient{
			Seq: number(row, "seq"), Address: row[column["address"]], State: row[column["state"]], Attempts: number(row, "attempts"),
			Host: row[column["host"]], Code: number(row, "code"), Reply: row[column["reply"]],
		}
		if _, twice := all[r.Address]; twice {
			p.t.Errorf("export: %s stands there twice", r.Address)
		}
		all[r.Address] = r
	}
	return all
}

// Histories calls visit with every attempt of each address, as the command
// recipient shows them. The ledger must not be held.
func (p *Place) Histories(id string, addresses []string, visit func(address string, h *pb.GetRecipientResponse)) {
	p.t.Helper()
	led, err := ledger.Open(p.Data, ledger.Options{})
	if err != nil {
		p.t.Fatalf("histories: %v", err)
	}
	client := control.Local(led)
	defer func() {
		client.Close()
		if err := led.Close(); err != nil {
			p.t.Errorf("histories: %v", err)
		}
	}()
	for _, a := range addresses {
		h, err := client.GetRecipient(context.Background(), &pb.GetRecipientRequest{CampaignId: id, Address: a})
		if err != nil {
			p.t.Fatalf("history of %s: %v", a, err)
		}
		visit(a, h)
	}
}

// People writes a CSV of n recipients, u0@domain0, u1@domain1 and so on around
// the domains, and returns their addresses.
func (p *Place) People(name string, n int, domains ...string) []string {
	p.t.Helper()
	all := make([]string, n)
	b := []byte("email,id,first_name\n")
	for i := range n {
		all[i] = fmt.Sprintf("u%d@%s", i, domains[i%len(domains)])
		b = fmt.Appendf(b, "%s,%d,Name %d\n", all[i], i, i)
	}
	p.Write(name, string(b))
	return all
}
