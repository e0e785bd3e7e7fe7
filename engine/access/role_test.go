package access

import "testing"

func TestRoles(t *testing.T) {
	t.Parallel()
	for _, word := range Roles() {
		r, err := ParseRole(word)
		if err != nil || r.String() != word {
			t.Errorf("%s is read as %v, %v", word, r, err)
		}
	}
	for _, word := range []string{"", "none", "Admin", "admin ", "root", "role 1"} {
		if r, err := ParseRole(word); err == nil {
			t.Errorf("%q is read as %v", word, r)
		}
	}
	for _, c := range []struct {
		has, needs Role
		want       bool
	}{
		{Read, Read, true}, {Operate, Read, true}, {Admin, Operate, true}, {Admin, Admin, true},
		{Read, Operate, false}, {Operate, Admin, false}, {RoleUnset, Read, false},
		{Admin, RoleUnset, false}, {RoleUnset, RoleUnset, false}, {200, Read, false},
	} {
		if got := c.has.Allows(c.needs); got != c.want {
			t.Errorf("%v may do what takes %v: %v", c.has, c.needs, got)
		}
	}
}

// TestPathsAreComparedExactly: what is nearly a path is none.
func TestPathsAreComparedExactly(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]Role{
		"/penstock.v1.SiteService/ListSites": Read,
		"/penstock.v1.ServerService/Backup":  Admin,
		"/metrics":                           Read,
		"/debug/pprof/heap":                  Admin,
	} {
		if m, ok := At(path); !ok || m.Role != want {
			t.Errorf("%s takes %v, %v", path, m.Role, ok)
		}
	}
	for _, path := range []string{
		"", "/", "penstock.v1.SiteService/ListSites", "//penstock.v1.SiteService/ListSites", "/penstock.v1.SiteService//ListSites",
		"/penstock.v1.SiteService/ListSites/", "/penstock.v1.SiteService/listSites", "/PENSTOCK.v1.SiteService/ListSites",
		"/penstock.v1.SiteService/ListSites ", "/metrics/", "/debug/pprof", "/x/../metrics",
	} {
		if m, ok := At(path); ok {
			t.Errorf("%q takes %v", path, m.Role)
		}
	}
}
