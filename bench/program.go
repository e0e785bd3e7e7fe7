package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
)

// Program is a sender to be measured.
type Program struct {
	// Name stands in the table.
	Name string
	// Version is what it says of itself.
	Version string
	// Command is the command line, each word a template over Command.
	Command []string
	// Source and Built are Command's, for senders of this repository.
	Source, Built string
}

// Command is what the words of a command line can use.
type Command struct {
	// Campaign, Config, Data and Stats are paths for Penstock's own command;
	// Data does not exist yet, Stats is to be written (package stats).
	Campaign, Config, Data, Stats string
	// People is the recipients as CSV, Body the template of the HTML, Message one
	// message as a file, Key the PEM file to sign with; empty: unsigned.
	People, Body, Message, Key string
	// Senders is what bench/senders/install filled, Source is this repository;
	// Built is the program that the scenario's build made.
	Senders, Source, Built string
	// Dir is a directory that is gone after the run.
	Dir string
	// Sink is where to send to; Host and Port are its parts; DNS is a name
	// server, empty unless the scenario has several sites.
	Sink, Host, Port, DNS string
	// Recipients, Connections and Size are the scenario's; First is the first
	// recipient's address.
	Recipients, Connections, Size int
	First                         string
	// LoadOnly asks for no sending, Stream for sending while loading.
	LoadOnly, Stream bool
}

// penstock is the command line of a program that is Penstock. To load only, it
// is given no time to send: loading comes before that time begins.
func penstock(path string) []string {
	return []string{path, "send", "{{.Campaign}}", "--config", "{{.Config}}", "--data", "{{.Data}}", "--stats", "{{.Stats}}", "--quiet", "{{if .LoadOnly}}--for=1ms{{end}}", "{{if .Stream}}--stream{{end}}"}
}

// words fills the templates; words that come out empty are left out.
func (c *Command) words(command []string) ([]string, error) {
	var out []string
	for _, w := range command {
		t, err := template.New("command").Option("missingkey=error").Parse(w)
		if err != nil {
			return nil, fmt.Errorf("command %q: %w", w, err)
		}
		var b strings.Builder
		if err := t.Execute(&b, c); err != nil {
			return nil, fmt.Errorf("command %q: %w", w, err)
		}
		if b.Len() > 0 {
			out = append(out, b.String())
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the command %q is empty", command)
	}
	return out, nil
}

// resolveProgram finds what --against names: a command line with templates, a
// program, or a commit, which is built below the runner's directory.
func (r *runner) resolveProgram(ctx context.Context, name string) (*Program, error) {
	if strings.Contains(name, "{{") {
		words := strings.Fields(name)
		return &Program{Name: filepath.Base(words[0]), Command: words}, nil
	}
	if path, err := exec.LookPath(name); err == nil {
		if path, err = filepath.Abs(path); err != nil {
			return nil, err
		}
		return &Program{Name: filepath.Base(path), Version: versionOf(ctx, path), Command: penstock(path)}, nil
	}
	return r.buildCommit(ctx, name)
}

// buildCommit builds the command of another commit of the repository that we
// are in, from an export: the working tree stays as it is.
func (r *runner) buildCommit(ctx context.Context, ref string) (*Program, error) {
	commit, err := output(ctx, r.options.Source, "git", "rev-parse", "--verify", "--quiet", ref+"^{commit}")
	if err != nil {
		return nil, fmt.Errorf("against %q: neither a program nor a commit of this repository", ref)
	}
	top, err := r.top(ctx)
	if err != nil {
		return nil, fmt.Errorf("against %s: %w", ref, err)
	}
	tree := filepath.Join(r.dir, "against-"+commit[:12])
	program := filepath.Join(tree, "penstock-"+commit[:12])
	if err := os.MkdirAll(tree, 0o755); err != nil {
		return nil, err
	}
	fmt.Fprintf(r.log, "building %s\n", commit[:12])
	archive := filepath.Join(tree, "source.tar")
	for _, step := range []struct {
		in   string
		args []string
	}{
		{top, []string{"git", "archive", "--output", archive, commit}},
		{tree, []string{"tar", "xf", archive}},
		{tree, goBuild(program, "./cmd/penstock")},
	} {
		if _, err := output(ctx, step.in, step.args...); err != nil {
			return nil, fmt.Errorf("against %s: %w", ref, err)
		}
	}
	return &Program{Name: ref, Version: commit[:12], Command: penstock(program)}, nil
}

// output runs a command and returns what it prints.
func output(ctx context.Context, dir string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	c.Dir = dir
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, lastLine(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// versionOf is what a Penstock says of itself; other programs stay silent.
func versionOf(ctx context.Context, path string) string {
	v, err := output(ctx, "", path, "--version")
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(v, "\n")
	return first
}
