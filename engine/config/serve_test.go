package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestServeSettingsAgree: what would be open to all, or do nothing, is a
// mistake that says why.
func TestServeSettingsAgree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"c.pem", "k.pem", "ca.pem"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ serve, mistake string }{
		{"{}", ""},
		{"{listen: 127.0.0.1:7411}", ""},
		{"{listen: localhost:7411}", ""},
		{`{listen: "[::1]:7411"}`, ""},
		{"{listen: 127.9.9.9:7411}", ""},
		{"{listen: 0.0.0.0:7411, tls: {cert: c.pem, key: k.pem}}", ""},
		{"{listen: 0.0.0.0:7411, tls: {cert: c.pem, key: k.pem, client_ca: ca.pem}, clients: {a: read, b: admin}}", ""},
		{"{listen: 0.0.0.0:7411}", "in clear"},
		{`{listen: "[::]:7411"}`, "in clear"},
		{"{listen: 192.0.2.1:7411}", "in clear"},
		{"{listen: penstock.example.com:7411}", "in clear"},
		{`{listen: "[::ffff:192.0.2.1]:7411"}`, "in clear"},
		{"{listen: 127.0.0.1}", "no port"},
		{`{listen: ":7411"}`, "must be a host"},
		{"{listen: 127.0.0.1:99999}", "from 1 to 65535"},
		{"{tls: {cert: c.pem}}", "set serve.tls.key"},
		{"{tls: {key: k.pem}}", "set serve.tls.cert"},
		{"{tls: {client_ca: ca.pem}}", "set serve.tls.cert"},
		{"{tls: {cert: none.pem, key: k.pem}}", "no such file"},
		{"{clients: {a: read}}", "serve.tls.client_ca"},
		{"{tls: {cert: c.pem, key: k.pem, client_ca: ca.pem}, clients: {a: root}}", "must be one of read, operate, admin"},
		{`{tls: {cert: c.pem, key: k.pem, client_ca: ca.pem}, clients: {"": admin}}`, "empty name"},
		{"{streams: 10, streams_per_client: 11}", "does not fit"},
		{"{streams: 10}", "does not fit"},
		{"{streams: 0}", "from 1 to"},
		{"{token: x}", "is not a known key"},
	} {
		_, problems := Parse(filepath.Join(dir, "penstock.yaml"), []byte("hostname: a.test\nserve: "+c.serve+"\n"))
		switch err := problems.Err(); {
		case c.mistake == "" && err != nil:
			t.Errorf("%s: %v", c.serve, err)
		case c.mistake != "" && (err == nil || !strings.Contains(err.Error(), c.mistake) || !strings.Contains(err.Error(), "penstock.yaml:2")):
			t.Errorf("%s: %v, and not %q in line 2", c.serve, err, c.mistake)
		}
	}
}

func TestCompareListsWhatDiffers(t *testing.T) {
	t.Parallel()
	parse := func(text string) *Config {
		c, problems := Parse("penstock.yaml", []byte("hostname: a.test\n"+text))
		if err := problems.Err(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	old := parse("limits: {sites: {google: {connections: 3}}}\nsmtp: {drain: 1s}\n")
	if same := Compare(old.Effective(), parse("smtp: {drain: 1000ms}\nlimits: {sites: {google: {connections: 3}}}\n").Effective()); len(same) != 0 {
		t.Errorf("the same, otherwise written: %v", same)
	}
	got := fmt.Sprint(Compare(old.Effective(), parse("smtp: {drain: 2s}\nroutes: {b.test: 127.0.0.1}\n").Effective()))
	want := "[{smtp.drain 1s 2s} {routes.b.test  127.0.0.1:25} {limits.sites.google.connections 3 }"
	if !strings.HasPrefix(got, want) {
		t.Errorf("got\n%s\nwant\n%s ...", got, want)
	}
	new := parse("smtp: {drain: 2s}\nroutes: {b.test: 127.0.0.1}\n")
	merged := Merge(old.Effective(), new.Effective(), func(key string) bool { return key == "smtp.drain" })
	for _, e := range merged {
		switch {
		case e.Key == "smtp.drain" && e.Value != "2s", strings.HasPrefix(e.Key, "routes."), e.Key == "limits.sites.google.connections" && e.Value != "3":
			t.Errorf("merged: %+v", e)
		}
	}
	if len(merged) != len(old.Effective()) {
		t.Errorf("%d settings of %d", len(merged), len(old.Effective()))
	}
}
