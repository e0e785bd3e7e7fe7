package campaign

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/penstock-mail/penstock/engine/document"
)

// Files is where the files are that a campaign file names, for [Parse]. Names
// come as they were written. Errors are told to a person beside the name.
type Files interface {
	// Stat looks at a file without opening it.
	Stat(name string) (fs.FileInfo, error)
	// Open opens a regular file.
	Open(name string) (fs.File, error)
}

// path is a file that the campaign file names, as the process can open it; one
// of Files has its name alone.
func (r *reading) path(name string) string {
	if r.files != nil || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(r.campaign.Path), name)
}

func (r *reading) stat(name string) (fs.FileInfo, error) {
	if r.files != nil {
		return r.files.Stat(name)
	}
	return os.Stat(r.path(name))
}

func (r *reading) open(name string) (fs.File, error) {
	if r.files != nil {
		return r.files.Open(name)
	}
	return os.Open(r.path(name))
}

// file is one that is read later.
func (r *reading) file(name string) File {
	f := File{Name: name, Path: r.path(name)}
	if r.files != nil {
		f.Open = func() (fs.File, error) { return r.files.Open(name) }
	}
	return f
}

// ErrNotAFile says that a directory, a pipe or the like stands where a file
// should be.
var ErrNotAFile = errors.New("is not a regular file")

// readFile reads a regular file of at most limit octets.
func (r *reading) readFile(name string, limit int64) ([]byte, error) {
	f, err := r.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, ErrNotAFile
	}
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(content)) > limit {
		return nil, errors.New("is larger than " + document.FormatSize(limit))
	}
	return content, err
}
