package mx

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSiteNames(t *testing.T) {
	t.Parallel()
	own, err := ParseSites("# ours\nmx.partner.example partner\ngoogle.com mygoogle\n")
	if err != nil {
		t.Fatal(err)
	}
	builtin, err := newSiteNames(BuiltinSites())
	if err != nil {
		t.Fatal(err)
	}
	extended, err := newSiteNames(append(own, BuiltinSites()...))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		names siteNames
		hosts string // "name preference ..."
		want  string
	}{
		{builtin, "aspmx.l.google.com", "google"},
		{builtin, "aspmx2.googlemail.com", "google"},
		{builtin, "gmail-smtp-in.l.google.com alt1.gmail-smtp-in.l.google.com", "google"},
		{builtin, "mta5.am0.yahoodns.net", "yahoo"},
		{builtin, "outlook-com.olc.protection.outlook.com", "outlook"},
		{builtin, "tenant-example.mail.protection.outlook.com", "office365"},
		{builtin, "tenant-example.v-v1.mx.microsoft", "office365"},
		{builtin, "mx01.mail.icloud.com", "apple"},
		{builtin, "mx1.comcast.net", "comcast"},
		{builtin, "mx00.emig.gmx.net", "gmx"},
		{builtin, "mx-ha.web.de", "webde"},
		{builtin, "smtp-in.orange.fr", "orange"},
		{builtin, "eu-smtp-inbound-1.mimecast.com", "mimecast"},
		{builtin, "mx3.qq.com", "qq"},
		{builtin, "163mx01.mxmail.netease.com", "netease"},
		{builtin, "notgoogle.com", "notgoogle.com"},
		{builtin, "google.com.evil.example", "google.com.evil.example"},
		{builtin, "b.example a.example", "a.example,b.example"},
		{extended, "aspmx.l.google.com", "mygoogle"},
		{extended, "mx.partner.example", "partner"},
		{extended, "a.mx.partner.example", "partner"},
	} {
		var targets []target
		for name := range strings.FieldsSeq(c.hosts) {
			targets = append(targets, target{name: name, preference: 10})
		}
		if got := c.names.name(targets); got != c.want {
			t.Errorf("%s: %s, want %s", c.hosts, got, c.want)
		}
	}
}

func TestBackupHostDoesNotNameTheSite(t *testing.T) {
	t.Parallel()
	names, err := newSiteNames(BuiltinSites())
	if err != nil {
		t.Fatal(err)
	}
	if got := names.name([]target{{"own.example", 10}, {"aspmx.l.google.com", 20}}); got != "aspmx.l.google.com,own.example" {
		t.Error(got)
	}
}

// The name of a set does not depend on order, fits, and tells sets apart.
func TestSetNameIsTheSets(t *testing.T) {
	t.Parallel()
	name := rapid.StringMatching(`[a-z]{1,40}\.example`)
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SliceOfNDistinct(name, 1, 12, rapid.ID).Draw(t, "a")
		b := rapid.SliceOfNDistinct(name, 1, 12, rapid.ID).Draw(t, "b")
		shuffled := rapid.Permutation(a).Draw(t, "shuffled")
		if setName(slices.Clone(a)) != setName(shuffled) {
			t.Fatal("order matters")
		}
		slices.Sort(a)
		slices.Sort(b)
		if (setName(slices.Clone(a)) == setName(slices.Clone(b))) != slices.Equal(a, b) {
			t.Fatal("two sets share a name")
		}
		if len(setName(a)) > maxSiteName {
			t.Fatal("too long")
		}
	})
}

func FuzzParseSites(f *testing.F) {
	f.Add("google.com google\n# note\n\n.x.example y")
	f.Add("a b c\nx")
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := ParseSites(text)
		if err != nil {
			return
		}
		if _, err := newSiteNames(rules); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{"example.com", "[192.0.2.1]", "[IPv6:::1]", "host:25", "[::1]:25", "a..b", "_x.y", "xn--bcher-kva.example."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if name, ok := canonicalDomain(s); ok {
			if again, ok := canonicalDomain(name); !ok || again != name {
				t.Fatalf("%q becomes %q becomes %q", s, name, again)
			}
		}
		if target, err := parseFixed(s, 25); err == nil {
			if again, err := parseFixed(target.String(), 1); err != nil || again != target {
				t.Fatalf("%q is %v, and again %v, %v", s, target, again, err)
			}
		}
	})
}
