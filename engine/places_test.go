package engine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/penstock-mail/penstock/bench/nameserver"
)

// TestSharingHoldsOverManyRoutes: at a site of many routes and few connections a
// campaign that joins late gets its share of the connections at once, though a
// hundred routes of the first stand in line before its own.
func TestSharingHoldsOverManyRoutes(t *testing.T) {
	w := newWorld(t, "limits: {default: {connections: 2}}\nmx: {prohibited: []}\n")
	const routes, each = 200, 4
	zone := map[string]nameserver.Name{}
	var domains []string
	for i := range routes {
		d := fmt.Sprintf("d%d.test", i)
		domains = append(domains, d)
		zone[d] = nameserver.Name{MX: []string{fmt.Sprintf("10 h%d.mx.test", i)}}
		zone[fmt.Sprintf("h%d.mx.test", i)] = nameserver.Name{A: []string{fmt.Sprintf("127.0.0.%d", i+2)}}
	}
	w.names(zone, "servers:\n"+listed("think: 2ms"))
	w.config.MX.Rules = w.write("sites.txt", "mx.test tenants\n")
	w.open()
	first := people(each, domains[:180]...)
	a := w.start(w.campaign("a", "", first...))
	w.await("it has a line", func() bool { return w.mail.count() > 40 })
	late := make([]string, 0, 20*each)
	for _, d := range domains[180:] {
		for i := range each {
			late = append(late, fmt.Sprintf("late%d@%s", i, d))
		}
	}
	joined := w.mail.count()
	b := w.start(w.campaign("b", "", late...))
	w.finish(a, b)
	others := 0
	left := len(late)
	for _, to := range w.mail.sequence()[joined:] {
		if strings.HasPrefix(to, "late") {
			if left--; left == 0 {
				break
			}
		} else {
			others++
		}
	}
	// Half and half would be as many others; what was connected already when it
	// joined, and its look-ups, go before it.
	if others > 3*len(late) {
		t.Errorf("%d of the first went before all %d of the one that joined late", others, len(late))
	}
	w.once(append(first, late...)...)
}
