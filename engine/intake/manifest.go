package intake

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/penstock-mail/penstock/engine/problem"
)

// State is how an intake stands.
type State string

// A Loaded one is a campaign in the ledger, and an intake no more.
const (
	Receiving State = "receiving"
	Loading   State = "loading"
	Broken    State = "broken"
	Loaded    State = "loaded"
)

// manifest is what an intake is made of. It is kept in its folder, and then in
// the ledger.
type manifest struct {
	Version int
	ID      string
	// Token is in the settings of the campaign that comes of it, so that a crash
	// cannot hide that it did.
	Token      string
	Definition string
	Files      []file   `json:",omitempty"`
	Uploads    []upload `json:",omitempty"`
	// OnServer are the files below the folder that may be read.
	OnServer []onServer `json:",omitempty"`
	// Start: it begins when it is loaded.
	Start   bool `json:",omitempty"`
	Created time.Time
	State   State
	// Problems are why it is broken.
	Problems problem.List `json:",omitempty"`
	// Number is the ledger's, of the campaign that came of it; 0: none has.
	Number uint32 `json:",omitempty"`
}

const manifestVersion = 1

// file came along with Create; it is file-N in the folder, N its place here.
type file struct {
	Name   string
	Size   int64
	SHA256 string
}

// upload comes in chunks; it is upload-N in the folder.
type upload struct {
	Name string
	// Size is as it was announced, or as it is once it is complete; -1: it is
	// not known yet.
	Size int64
	// SHA256 as it was announced, or as it is once it was read; empty: it is not
	// known yet.
	SHA256 string `json:",omitempty"`
	// Complete: the last chunk is there.
	Complete bool `json:",omitempty"`
}

// onServer is a file as it was when the campaign was created.
type onServer struct {
	Name    string
	Size    int64
	ModTime time.Time
}

const manifestName = "manifest.json"

func filePath(dir string, i int) string   { return filepath.Join(dir, fmt.Sprintf("file-%d", i+1)) }
func uploadPath(dir string, i int) string { return filepath.Join(dir, fmt.Sprintf("upload-%d", i+1)) }

func (m *manifest) encode() []byte {
	text, err := json.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("intake: encode a manifest: %v", err)) // no field can fail
	}
	return text
}

func decodeManifest(text []byte) (*manifest, error) {
	m := new(manifest)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("decode manifest: %w", err)
	}
	if m.Version > manifestVersion {
		return nil, fmt.Errorf("the manifest has version %d, this program knows up to %d", m.Version, manifestVersion)
	}
	return m, nil
}

// write puts the manifest into dir, in place of the one before, at one moment.
func (m *manifest) write(dir string) error {
	next := filepath.Join(dir, manifestName+".next")
	if err := writeFile(next, m.encode()); err != nil {
		return err
	}
	if err := os.Rename(next, filepath.Join(dir, manifestName)); err != nil {
		return err
	}
	return syncDir(dir)
}

// readManifest is that of dir; fs.ErrNotExist: it has none.
func readManifest(dir string) (*manifest, error) {
	text, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		return nil, err
	}
	return decodeManifest(text)
}

// writeFile is on disk when it returns; its name is once its folder was synced.
func writeFile(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func hash(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// gone reports whether err says that a file is not there.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) }
