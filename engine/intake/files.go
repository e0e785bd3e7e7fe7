package intake

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/document"
	"github.com/penstock-mail/penstock/engine/folder"
	"github.com/penstock-mail/penstock/engine/problem"
	"github.com/penstock-mail/penstock/engine/signature"
)

// sources is where the files are that a definition names; it implements
// campaign.Files. What came along is found first, then what is uploaded, then
// what lies below the folder that may be read.
type sources struct {
	// given opens what came along, by name.
	given map[string]func() (fs.File, error)
	// uploads by name; an empty path: not there yet.
	uploads map[string]string
	folder  folder.Folder
	// named is what was asked for, and onServer what lay on the server.
	named    map[string]bool
	onServer []onServer
}

// definitionName stands for the definition in problems.
const definitionName = "definition"

var (
	errNoFolder = errors.New("is neither sent along nor announced as an upload, and files on the server cannot be named: its setting intake.folder says where they may lie")
	errToCome   = errors.New("is announced as an upload, but goes into the message: send it along with the campaign")
)

// newSources is those of a request whose uploads are still to come.
func newSources(s *Store, r *Request) *sources {
	f := &sources{given: map[string]func() (fs.File, error){}, uploads: map[string]string{}, folder: s.folder, named: map[string]bool{}}
	for _, along := range r.Files {
		f.given[along.Name] = func() (fs.File, error) {
			return &inMemory{*bytes.NewReader(along.Content), along.Name}, nil
		}
	}
	for _, u := range r.Uploads {
		f.uploads[u.Name] = ""
	}
	return f
}

// sources is those of an intake whose uploads are all there.
func (in *intake) sources() *sources {
	f := &sources{given: map[string]func() (fs.File, error){}, uploads: map[string]string{}, folder: in.store.folder, named: map[string]bool{}}
	in.mu.Lock()
	defer in.mu.Unlock()
	for i, along := range in.manifest.Files {
		f.given[along.Name] = func() (fs.File, error) { return os.Open(filePath(in.dir, i)) }
	}
	for i, u := range in.manifest.Uploads {
		f.uploads[u.Name] = uploadPath(in.dir, i)
	}
	return f
}

func (f *sources) Stat(name string) (fs.FileInfo, error) {
	f.named[name] = true
	if path, ok := f.uploads[name]; ok {
		if path == "" {
			return toCome(name), nil
		}
		return os.Stat(path)
	}
	if open, ok := f.given[name]; ok {
		file, err := open()
		if err != nil {
			return nil, err
		}
		defer file.Close()
		return file.Stat()
	}
	if name == campaign.Stdin {
		return nil, errors.New("stands for rows that are uploaded: announce it as an upload")
	}
	if f.folder == "" {
		return nil, errNoFolder
	}
	info, err := f.folder.Stat(name)
	if err == nil {
		f.met(name, info)
	}
	return info, err
}

func (f *sources) Open(name string) (fs.File, error) {
	f.named[name] = true
	if path, ok := f.uploads[name]; ok {
		if path == "" {
			return nil, errToCome
		}
		return os.Open(path)
	}
	if open, ok := f.given[name]; ok {
		return open()
	}
	if f.folder == "" {
		return nil, errNoFolder
	}
	file, err := f.folder.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := file.Stat(); err == nil {
		f.met(name, info)
	}
	return file, nil
}

// met notes a file on the server.
func (f *sources) met(name string, info fs.FileInfo) {
	if !slices.ContainsFunc(f.onServer, func(o onServer) bool { return o.Name == name }) {
		f.onServer = append(f.onServer, onServer{name, info.Size(), info.ModTime().UTC()})
	}
}

// inMemory is a file that came along and is not on disk yet.
type inMemory struct {
	bytes.Reader
	name string
}

func (f *inMemory) Stat() (fs.FileInfo, error) { return inMemoryInfo{f.name, f.Reader.Size()}, nil }
func (f *inMemory) Close() error               { return nil }

type inMemoryInfo struct {
	name string
	size int64
}

func (i inMemoryInfo) Name() string       { return i.name }
func (i inMemoryInfo) Size() int64        { return i.size }
func (i inMemoryInfo) Mode() fs.FileMode  { return 0o400 }
func (i inMemoryInfo) ModTime() time.Time { return time.Time{} }
func (i inMemoryInfo) IsDir() bool        { return false }
func (i inMemoryInfo) Sys() any           { return nil }

// toCome is what is known of an upload before it is there: it is no regular file
// yet, so nobody looks for its columns.
type toCome string

func (t toCome) Name() string       { return string(t) }
func (t toCome) Size() int64        { return 0 }
func (t toCome) Mode() fs.FileMode  { return fs.ModeIrregular }
func (t toCome) ModTime() time.Time { return time.Time{} }
func (t toCome) IsDir() bool        { return false }
func (t toCome) Sys() any           { return nil }

// unnamed tells of what was sent for nothing: most likely a name was mistyped.
func (f *sources) unnamed(r *Request, problems *problem.List) {
	for _, file := range r.Files {
		if !f.named[file.Name] {
			problems.Add(file.Name, 0, 0, "", "was sent along, but the definition does not name it")
		}
	}
	for _, u := range r.Uploads {
		if !f.named[u.Name] {
			problems.Add(u.Name, 0, 0, "", "is announced as an upload, but the definition does not name it")
		}
	}
}

// keys says where the campaign's DKIM keys lie. A client may use those that the
// configuration has, and those below the folder; it never sends one. What it may
// not use is a problem, and left out.
func (s *Store) keys(c *campaign.Campaign, problems *problem.List) {
	const advice = "keys stay on the server, and penstock.yaml there has none for this domain and selector under dkim"
	var usable []signature.Setting
	for _, k := range c.Settings.DKIM {
		if j := slices.IndexFunc(s.config.DKIM, func(own signature.Setting) bool {
			return own.Domain == k.Domain && own.Selector == k.Selector
		}); j >= 0 {
			k.Key = s.config.DKIM[j].Key
			usable = append(usable, k)
			continue
		}
		if s.folder == "" {
			problems.Add(k.File, k.Line, 0, "dkim", "%s: %s; its setting intake.folder, below which others may lie, is not set", k.Key, advice)
			continue
		}
		name, err := s.folder.Name(k.Key)
		if err == nil {
			_, err = s.folder.Stat(name)
		}
		if err != nil {
			problems.Add(k.File, k.Line, 0, "dkim", "%s: %s; %s", k.Key, document.Reason(err), advice)
			continue
		}
		k.Key, k.Folder = name, string(s.folder)
		usable = append(usable, k)
	}
	c.Settings.DKIM = usable
}
