package compose

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/osteele/liquid/filters"
	"github.com/osteele/liquid/parser"
	"github.com/osteele/liquid/render"
	"github.com/osteele/liquid/tags"
	"github.com/osteele/liquid/values"
	yaml "gopkg.in/yaml.v2"
)

// meter is what one rendering may still cost, and what it met. It belongs to
// one interpreter and is reset before each text.
type meter struct {
	rounds, rendered, filtered int
	// missing is the first merge field that was missing.
	missing string
	// breaks counts line breaks of values that became spaces.
	breaks int
}

func (m *meter) reset() { *m = meter{rounds: maxRounds, rendered: maxRendered, filtered: maxFiltered} }

var (
	errTooManyRounds = fmt.Errorf("the template's loops run more than %d rounds", maxRounds)
	errTooLong       = fmt.Errorf("the template gives more than %d octets", maxRendered)
	errTooMuchWork   = fmt.Errorf("the template's filters work on more than %d octets", maxFiltered)
	errMissing       = errors.New("merge field is missing")
)

// interpreter runs Liquid templates within bounds. Not safe for concurrent use.
type interpreter struct {
	cfg   render.Config
	meter *meter
	vars  map[string]any // of the run under way
	// now is what templates call now: the message's date, so that every
	// attempt says the same.
	now time.Time
}

func newInterpreter(m *meter) *interpreter {
	in := &interpreter{cfg: render.NewConfig(), meter: m}
	tags.AddStandardTags(in.cfg)
	// include would read files of the machine.
	in.cfg.AddTag("include", func(string) (func(io.Writer, render.Context) error, error) {
		return nil, errors.New("include is not supported")
	})
	in.cfg.AddTag("penstock_round", func(arg string) (func(io.Writer, render.Context) error, error) {
		size, err := strconv.Atoi(strings.TrimSpace(arg))
		return func(io.Writer, render.Context) error { return m.round(size) }, err
	})
	in.cfg.AddTag("penstock_keep", func(string) (func(io.Writer, render.Context) error, error) {
		return func(_ io.Writer, ctx render.Context) error {
			maps.Copy(in.vars, ctx.Bindings())
			return nil
		}, nil
	})
	filters.AddStandardFilters(meteredFilters{in})
	for name, f := range plainFilters {
		if f.apply == nil {
			continue
		}
		if f.args == 1 {
			in.add(name, func(v, arg string) string { return string(f.apply(nil, []byte(v), arg)) })
		} else {
			in.add(name, func(v string) string { return string(f.apply(nil, []byte(v), "")) })
		}
	}
	in.add("raw", func(v any) any { return v })
	in.add("truncate", func(s string, length func(int) int, ellipsis func(string) string) string {
		return truncate(s, length(50), ellipsis("..."))
	})
	in.add("truncatewords", func(s string, words func(int) int, ellipsis func(string) string) string {
		return truncateWords(s, words(15), ellipsis("..."))
	})
	in.add("slice", slice)
	in.add("sort", sortBy)
	in.add("sort_natural", sortNaturally)
	in.add("json", jsonText)
	in.add("penstock_markup", func(v any) string { return string(appendMarkupEscaped(nil, []byte(displayText(v)), "")) })
	in.cfg.AddFilter("penstock_need", in.need)
	for _, place := range []usePlace{inText, inHTML, inHeader, inURL} {
		in.cfg.AddFilter(formFilter(place, false), in.form(place, appendEscaped[string]))
		in.cfg.AddFilter(formFilter(place, true), in.form(place, appendSafe[string]))
	}
	return in
}

// liquidFilters are the filters that a template may use. The interpreter has
// more, which show what a value is made of.
var liquidFilters = func() map[string]bool {
	set := map[string]bool{}
	for _, name := range strings.Fields("default raw escape escape_once upcase downcase capitalize strip lstrip rstrip " +
		"append prepend remove remove_first replace replace_first slice split strip_html strip_newlines newline_to_br " +
		"truncate truncatewords url_encode url_decode date abs ceil floor round modulo minus plus times divided_by " +
		"size first last join compact concat map reverse sort sort_natural uniq json") {
		set[name] = true
	}
	return set
}()

func (m *meter) round(size int) error {
	if m.rounds--; m.rounds < 0 {
		return errTooManyRounds
	}
	return m.render(size)
}

func (m *meter) render(n int) error {
	if m.rendered -= n; m.rendered < 0 {
		return errTooLong
	}
	return nil
}

// charge counts a value that a filter is given or gives.
func (m *meter) charge(v any) error {
	switch v := v.(type) {
	case string:
		m.filtered -= len(v)
	case []any:
		m.filtered -= 16 * len(v)
	case values.Range:
		// Becomes a list of all its numbers when a filter takes it.
		if v.Len() > maxRounds {
			return errTooManyRounds
		}
		m.filtered -= 16 * v.Len()
	}
	if m.filtered -= 16; m.filtered < 0 {
		return errTooMuchWork
	}
	return nil
}

// need is the filter that notes a missing merge field.
func (in *interpreter) need(v any, name string) (any, error) {
	missing := v == nil
	switch v := v.(type) {
	case string:
		missing = v == ""
	case []any:
		missing = len(v) == 0
	case yaml.MapSlice:
		missing = len(v) == 0
	}
	if missing {
		if in.meter.missing == "" {
			in.meter.missing = name
		}
		return nil, errMissing
	}
	return v, nil
}

// form makes the filter that brings a value into the form for its place.
func (in *interpreter) form(place usePlace, escape func([]byte, string, usePlace) ([]byte, int)) func(any) (string, error) {
	return func(v any) (string, error) {
		out, breaks := escape(nil, displayText(v), place)
		in.meter.breaks += breaks
		return string(out), in.meter.render(len(out))
	}
}

// meteredFilters takes the interpreter's own filters.
type meteredFilters struct{ in *interpreter }

func (f meteredFilters) AddFilter(name string, fn any) { f.in.add(name, fn) }

// add registers a filter behind the meter, and turns its panics (odd arguments
// bring some of them to that) into errors.
func (in *interpreter) add(name string, fn any) {
	f := reflect.ValueOf(fn)
	in.cfg.AddFilter(name, func(value any, args ...any) (out any, err error) {
		defer func() {
			if r := recover(); r != nil {
				out, err = nil, fmt.Errorf("%v", r)
			}
		}()
		all := append([]any{value}, args...)
		for _, a := range all {
			if err := in.meter.charge(a); err != nil {
				return nil, err
			}
		}
		if name == "uniq" {
			// Lists of lists are compared each with each.
			if list, ok := value.([]any); ok {
				in.meter.filtered -= len(list) * len(list) / 8
			}
		}
		if err := in.growth(name, all); err != nil {
			return nil, err
		}
		if name == "date" && (value == "now" || value == "today") {
			all[0] = in.now
		}
		for i, a := range all {
			if _, text := a.(string); !text && a != nil && i < f.Type().NumIn() && f.Type().In(i).Kind() == reflect.String {
				all[i] = displayText(a) // text filters work on what would be shown
			}
		}
		out, err = values.Call(f, all)
		if err != nil {
			return nil, err
		}
		if b, ok := out.([]byte); ok {
			out = string(b)
		}
		if list, ok := out.([]string); ok {
			// Other filters and our own text form expect lists of anything.
			anys := make([]any, len(list))
			for i, s := range list {
				anys[i] = s
			}
			out = anys
		}
		return out, in.meter.charge(out)
	})
}

// growth refuses, before it is done, what multiplies its input: replace can
// square it.
func (in *interpreter) growth(name string, args []any) error {
	if name != "replace" || len(args) != 3 {
		return nil
	}
	s, old, repl := displayText(args[0]), displayText(args[1]), displayText(args[2])
	if n := strings.Count(s, old); n*len(repl) > maxRendered {
		return errTooLong
	}
	return nil
}

// parse compiles a template; the interpreter's panics become errors.
func (in *interpreter) parse(source string) (node render.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			node, err = nil, fmt.Errorf("%v", r)
		}
	}()
	node, perr := in.cfg.Compile(source, parser.SourceLoc{})
	if perr != nil {
		return nil, perr
	}
	return node, nil
}

// run renders a parsed template to dst, within what the meter has left. vars
// is changed by what the template assigns.
func (in *interpreter) run(dst []byte, node render.Node, vars map[string]any) (out []byte, err error) {
	in.vars = vars
	w := boundedWriter{buf: dst, room: maxRendered}
	defer func() {
		if r := recover(); r != nil {
			out, err = dst, fmt.Errorf("template: %v", r)
		}
	}()
	if rerr := render.Render(node, &w, vars, in.cfg); rerr != nil {
		var cause error = rerr
		if c := rerr.Cause(); c != nil {
			cause = c
		}
		return dst, cause
	}
	return w.buf, nil
}

// boundedWriter keeps what is written, up to a bound.
type boundedWriter struct {
	buf  []byte
	room int
}

func (w *boundedWriter) Write(p []byte) (int, error) {
	if w.room -= len(p); w.room < 0 {
		return 0, errTooLong
	}
	w.buf = append(w.buf, p...)
	return len(p), nil
}
