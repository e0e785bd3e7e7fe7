package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/problem"
)

// parcel is a campaign file with the files that it names, made ready to be
// handed to a server: what goes into the message goes along, recipients and
// suppression lists are uploaded.
type parcel struct {
	path    string
	id      string
	request *pb.CreateCampaignRequest
	// lists are the uploads: name to path; "-" is standard input.
	lists map[string]string
	// warned: what is odd about it was printed.
	warned bool
}

// pack reads the campaign file at path. Mistakes that can be seen from here are
// its error. onServer: no file is sent, all of them lie on the server's machine.
func pack(path string, onServer bool) (*parcel, error) {
	source, err := os.ReadFile(path)
	if err != nil {
		var problems problem.List
		problems.Add(path, 0, 0, "", "%s", reason(err))
		return nil, problems
	}
	p := &parcel{path: path, request: &pb.CreateCampaignRequest{Definition: string(source)}, lists: map[string]string{}}
	if onServer {
		return p, nil
	}
	files := &near{dir: filepath.Dir(path)}
	c, problems := campaign.Parse(path, source, files)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	p.id = c.ID
	for _, name := range files.opened {
		content, err := os.ReadFile(files.path(name))
		if err != nil {
			return nil, err
		}
		p.request.Files = append(p.request.Files, &pb.File{Name: name, Content: &pb.File_Data{Data: content}})
	}
	for _, name := range files.looked {
		u := &pb.Upload{Name: name}
		if p.lists[name] = files.path(name); name == campaign.Stdin {
			p.lists[name] = campaign.Stdin
		} else if err := announce(u, p.lists[name]); err != nil {
			return nil, err
		}
		p.request.Uploads = append(p.request.Uploads, u)
	}
	return p, nil
}

// announce says what is known of a list. A pipe is not read twice.
func announce(u *pb.Upload, path string) error {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	u.Size, u.Sha256 = proto.Uint64(uint64(n)), hex.EncodeToString(h.Sum(nil))
	return err
}

// near is the files near a campaign file; it remembers which were read for the
// message, and which were only looked at. It implements campaign.Files.
type near struct {
	dir            string
	opened, looked []string
}

func (n *near) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(n.dir, name)
}

// Stat implements campaign.Files.
func (n *near) Stat(name string) (fs.FileInfo, error) {
	n.looked = addNew(n.looked, name)
	if name == campaign.Stdin {
		return stdinInfo{}, nil
	}
	return os.Stat(n.path(name))
}

// Open implements campaign.Files.
func (n *near) Open(name string) (fs.File, error) {
	n.opened = addNew(n.opened, name)
	return os.Open(n.path(name))
}

func addNew(names []string, name string) []string {
	if slices.Contains(names, name) {
		return names
	}
	return append(names, name)
}

// stdinInfo is all that is known of standard input.
type stdinInfo struct{}

func (stdinInfo) Name() string       { return campaign.Stdin }
func (stdinInfo) Size() int64        { return 0 }
func (stdinInfo) Mode() fs.FileMode  { return fs.ModeNamedPipe }
func (stdinInfo) ModTime() time.Time { return time.Time{} }
func (stdinInfo) IsDir() bool        { return false }
func (stdinInfo) Sys() any           { return nil }

func reason(err error) string {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err.Error()
	}
	return err.Error()
}

// mistakes are those that a server found, with the campaign file's own name; nil:
// err has none.
func (p *parcel) mistakes(err error) problem.List { return p.problems(control.Mistakes(err)) }

// problems are the server's, with the campaign file's own name.
func (p *parcel) problems(list []*pb.Problem) problem.List {
	var all problem.List
	for _, m := range list {
		own := problem.Problem{File: m.File, Line: int(m.Line), Column: int(m.Column), Field: m.Field, Message: m.Message, Warning: m.Warning}
		if own.File == "definition" {
			own.File = p.path
		}
		all = append(all, own)
	}
	return all
}
