package campaign

import (
	"time"

	"github.com/penstock-mail/penstock/engine/document"
	"github.com/penstock-mail/penstock/engine/signature"
)

func (r *reading) readRecipients(m *document.Mapping) {
	c := r.campaign
	if n := m.Take("address_field"); n != nil {
		n.Word(&c.AddressField)
	}
	n := m.Take("recipients")
	if n == nil {
		r.missing("recipients", "name the file of recipients, such as people.csv")
		return
	}
	files, ok := n.OneOrMany()
	if ok && len(files) == 0 {
		n.Problem("is empty: name the file of recipients, such as people.csv")
	}
	seen := map[string]bool{}
	for _, n := range files {
		var name string
		if !n.Word(&name) {
			continue
		}
		f := r.file(name)
		if name == Stdin {
			f.Path = name
		}
		if seen[f.Path] {
			n.Problem("%s: is listed twice", name)
			continue
		}
		seen[f.Path] = true
		if r.look(&f, n) {
			c.Recipients = append(c.Recipients, f)
		}
	}
}

// look takes down what the file is like and refuses what cannot be one.
func (r *reading) look(f *File, n *document.Node) bool {
	if f.Name == Stdin && r.files == nil {
		return true
	}
	if _, _, ok := formatOf(f.Name); !ok && f.Name != Stdin {
		n.Problem("%s: must end in .csv, .tsv or .jsonl, also with .gz or .zst behind it", f.Name)
		return false
	}
	info, err := r.stat(f.Name)
	switch {
	case err != nil:
		n.Problem("%s: %s", f.Name, document.Reason(err))
		return false
	case info.IsDir():
		n.Problem("%s: is a directory", f.Name)
		return false
	case info.Mode().IsRegular():
		f.Regular, f.Size, f.ModTime = true, info.Size(), info.ModTime()
	}
	return true
}

func (r *reading) readSettings(m *document.Mapping) {
	s := &r.campaign.Settings
	const most = 365 * 24 * time.Hour
	if n := m.Take("suppress"); n != nil {
		files, _ := n.OneOrMany()
		for _, n := range files {
			var name string
			if !n.Word(&name) {
				continue
			}
			if info, err := r.stat(name); err != nil {
				n.Problem("%s: %s", name, document.Reason(err))
			} else if info.IsDir() {
				n.Problem("%s: is a directory", name)
			}
			if r.files != nil {
				r.campaign.Suppress = append(r.campaign.Suppress, r.file(name))
				continue
			}
			s.Suppress = append(s.Suppress, r.path(name))
		}
	}
	if n := m.Take("on_uncertain"); n != nil {
		word := ""
		if n.Choice(&word, "retry", "hold") && word == "hold" {
			s.OnUncertain = HoldUncertain
		}
	}
	if n := m.Take("start_at"); n != nil {
		n.Time(&s.StartAt)
	}
	if n := m.Take("windows"); n != nil {
		s.Windows = readWindows(n)
	}
	if n := m.Take("expire_after"); n != nil {
		n.Duration(&s.ExpireAfter, time.Minute, most)
	}
	if n := m.Take("expire_while_paused"); n != nil {
		word := ""
		s.ExpireWhilePaused = n.Choice(&word, "true", "false") && word == "true"
	}
	if n := m.Take("priority"); n != nil {
		n.Int(&s.Priority, 1, 100)
	}
	if n := m.Take("weight"); n != nil {
		n.Int(&s.Weight, 1, 1000)
	}
	if n := m.Take("max_rate"); n != nil && n.Rate(&s.MaxRate) {
		s.MaxRate = finite(s.MaxRate)
	}
	if n := m.Take("max_in_doubt"); n != nil {
		n.Int(&s.MaxInDoubt, 1, 128)
	}
	if n := m.Take("dkim"); n != nil {
		s.DKIM = signature.Read(n, r.path)
	}
	if n := m.Take("retry"); n != nil {
		if retry, ok := n.Mapping(); ok {
			readRetry(retry, &s.Retry)
		}
	}
}

func readRetry(m *document.Mapping, dst *Retry) {
	const most = 30 * 24 * time.Hour
	first, factor, longest := m.Take("first"), m.Take("factor"), m.Take("max")
	if first != nil {
		first.Duration(&dst.First, time.Second, most)
	}
	if factor != nil {
		factor.Number(&dst.Factor, 1, 100)
	}
	if longest != nil && longest.Duration(&dst.Max, time.Second, most) && dst.First > dst.Max {
		longest.Problem("is %s, shorter than retry.first (%s)", document.FormatDuration(dst.Max), document.FormatDuration(dst.First))
	}
	m.Close()
}
