package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// peer makes a scenario's own sender ready. What is missing is told in a word,
// and is no error: nobody has every mail server.
func (r *runner) peer(ctx context.Context, s *Scenario) (p *Program, missing string, err error) {
	p = &Program{Name: s.Name, Command: slices.Clone(s.Command)}
	for _, need := range s.Needs {
		path := r.find(need)
		if path == "" {
			return nil, need + " is not installed (bench/senders/install)", nil
		}
		if p.Command[0] == need {
			p.Command[0] = path
		}
	}
	if p.Source, err = r.top(ctx); err != nil {
		p.Source = ""
	}
	if s.Build == "" {
		return p, "", nil
	}
	if _, err := exec.LookPath("go"); err != nil || p.Source == "" {
		return nil, "needs Go and this repository, to build " + s.Build, nil
	}
	p.Built, err = r.build(ctx, p.Source, s.Build)
	return p, "", err
}

// find is the path of a program or an npm module that a peer needs, "" if it is
// not there: as fetched, or as installed.
func (r *runner) find(need string) string {
	for _, path := range []string{
		filepath.Join(r.options.Senders, "bin", need), filepath.Join(r.options.Senders, "node", "node_modules", need), filepath.Join("/usr/sbin", need),
	} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	path, err := exec.LookPath(need)
	if err != nil {
		return ""
	}
	return path
}

// build builds one of the repository's programs, once for all its scenarios.
func (r *runner) build(ctx context.Context, source, pkg string) (string, error) {
	if path := r.built[pkg]; path != "" {
		return path, nil
	}
	path := filepath.Join(r.dir, "built-"+strings.ReplaceAll(strings.Trim(pkg, "./"), "/", "-"))
	fmt.Fprintf(r.log, "building %s\n", pkg)
	if _, err := output(ctx, source, goBuild(path, pkg)...); err != nil {
		return "", err
	}
	r.built[pkg] = path
	return path, nil
}

// goBuild is how everything here is built, as `make build` does.
func goBuild(path, pkg string) []string {
	return []string{"env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-o", path, pkg}
}

// top is the root of the repository that we are in.
func (r *runner) top(ctx context.Context) (string, error) {
	top, err := output(ctx, r.options.Source, "git", "rev-parse", "--show-toplevel")
	if err == nil {
		return top, nil
	}
	dir, absErr := filepath.Abs(r.options.Source)
	if absErr != nil {
		return "", absErr
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "bench", "senders")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("not in Penstock's repository")
}
