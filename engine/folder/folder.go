// Package folder opens files below one directory for somebody who may read
// nothing else: no name leads out of it, neither "..", nor an absolute path, nor
// a symbolic link. What is no regular file (a pipe, a device, a directory) is
// refused without waiting for it.
//
// A Folder is a path and nothing more, so there is nothing to close, and any
// goroutine may use it. It trusts the directory itself and what is mounted there.
package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Folder is an absolute path of a directory.
type Folder string

// Errors that callers branch on; the text is for the person who gave the name.
var (
	ErrOutside = errors.New("is not below the folder that may be read")
	ErrNotFile = errors.New("is not a regular file")
)

// Name is a name relative to the folder, of one that is, or of an absolute path
// that begins with the folder's. ErrOutside: it leads out by its words alone.
func (f Folder) Name(name string) (string, error) {
	if filepath.IsAbs(name) {
		rel, err := filepath.Rel(string(f), name)
		if err != nil {
			return "", ErrOutside
		}
		name = rel
	}
	if !filepath.IsLocal(name) {
		return "", ErrOutside
	}
	return name, nil
}

// Open opens a regular file.
func (f Folder) Open(name string) (*os.File, error) {
	root, name, err := f.root(name)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	// O_NONBLOCK: a pipe without a writer is opened at once, to be refused.
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, plain(err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = ErrNotFile
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// Stat looks at a regular file.
func (f Folder) Stat(name string) (fs.FileInfo, error) {
	root, name, err := f.root(name)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(name)
	switch {
	case err != nil:
		return nil, plain(err)
	case !info.Mode().IsRegular():
		return nil, ErrNotFile
	}
	return info, nil
}

func (f Folder) root(name string) (*os.Root, string, error) {
	name, err := f.Name(name)
	if err != nil {
		return nil, "", err
	}
	root, err := os.OpenRoot(string(f))
	if err != nil {
		return nil, "", fmt.Errorf("open the folder that may be read: %w", err)
	}
	return root, name, nil
}

// plain is an error without the path, which the caller knows, and ErrOutside for
// the way out that a symbolic link would take.
func plain(err error) error {
	path, ok := errors.AsType[*fs.PathError](err)
	switch {
	case !ok:
		return err
	case strings.Contains(path.Err.Error(), "escapes"): // package os has no error value for it
		return ErrOutside
	}
	return path.Err
}
