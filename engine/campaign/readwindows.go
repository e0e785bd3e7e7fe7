package campaign

import (
	"github.com/penstock-mail/penstock/engine/document"
	"github.com/penstock-mail/penstock/engine/hours"
)

// readWindows reads one window or a list of them.
func readWindows(n *document.Node) (all []hours.Window) {
	entries := []*document.Node{n}
	if !n.IsMapping() {
		var ok bool
		if entries, ok = n.List(); !ok {
			return nil
		}
		if len(entries) == 0 {
			n.Problem("is empty: leave the key out to send at any time")
			return nil
		}
	}
	for _, n := range entries {
		if m, ok := n.Mapping(); ok {
			all = append(all, readWindow(m)...)
			m.Close()
		}
	}
	if len(all) > hours.Most {
		n.Problem("are %d, but at most %d may be", len(all), hours.Most)
		return nil
	}
	return all
}

// readWindow reads a window for each of its hours.
func readWindow(m *document.Mapping) (all []hours.Window) {
	w := hours.Window{Days: hours.EveryDay, To: hours.WholeDay}
	if n := m.Take("zone"); n == nil {
		m.Node().Problem("has no zone: name one, such as Europe/Berlin")
	} else if n.Word(&w.Zone) {
		if _, err := hours.Zone(w.Zone); err != nil {
			n.Problem("%v", err)
		}
	}
	days, times := m.Take("days"), m.Take("hours")
	if days == nil && times == nil {
		m.Node().Problem("is always open: give it days such as [mon..fri], or hours such as \"08:00-20:00\"")
	}
	if days != nil {
		w.Days = readDays(days)
	}
	if times == nil {
		return []hours.Window{w}
	}
	entries, ok := times.OneOrMany()
	if ok && len(entries) == 0 {
		times.Problem("is empty: leave it out for whole days")
	}
	for _, n := range entries {
		var s string
		if !n.Word(&s) {
			continue
		}
		var err error
		if w.From, w.To, err = hours.ParseHours(s); err != nil {
			n.Problem("%q %v", s, err)
			continue
		}
		all = append(all, w)
	}
	return all
}

func readDays(n *document.Node) (days hours.Days) {
	entries, ok := n.OneOrMany()
	if ok && len(entries) == 0 {
		n.Problem("is empty: leave it out for every day")
	}
	for _, n := range entries {
		var s string
		if !n.Word(&s) {
			continue
		}
		some, err := hours.ParseDays(s)
		if err != nil {
			n.Problem("%q %v", s, err)
		}
		days |= some
	}
	return days
}
