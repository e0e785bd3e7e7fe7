package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

const (
	// uploadChunk is how many octets go into one message.
	uploadChunk = 512 << 10
	// mostUnacknowledged is how many octets of what can be read only once are kept
	// until they are on the server's disk.
	mostUnacknowledged = 32 << 20
	// uploadPatience is how long the server may not be there, or have no room,
	// before an upload is given up.
	uploadPatience = 2 * time.Minute
	// uploadAgain is the longest between two tries.
	uploadAgain = 2 * time.Second
)

// upload sends one list until the server has all of it on disk. A broken
// connection, or a server that starts anew, only holds it up.
type upload struct {
	client   *control.Client
	id, name string
	list     list
	// shown is told how many octets are on the server's disk.
	shown func(stored uint64)
}

// list is what is uploaded.
type list interface {
	// read fills buf with what begins at offset; io.EOF: the end lies within.
	read(ctx context.Context, offset uint64, buf []byte) (int, error)
	// acknowledge says up to where nothing is asked for again.
	acknowledge(stored uint64)
	// from is where the first try begins, if so much is there.
	from(stored uint64) uint64
	io.Closer
}

func openList(path string) (list, error) {
	if path == campaign.Stdin {
		return newOnce(os.Stdin), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if !info.Mode().IsRegular() {
		return newOnce(f), nil
	}
	return wholeFile{f}, nil
}

// wholeFile can be read from anywhere.
type wholeFile struct{ *os.File }

func (f wholeFile) read(_ context.Context, offset uint64, buf []byte) (int, error) {
	return f.ReadAt(buf, int64(offset))
}
func (wholeFile) acknowledge(uint64)        {}
func (wholeFile) from(stored uint64) uint64 { return stored }

// once is what can be read only once. It keeps what is not acknowledged.
type once struct {
	source io.ReadCloser

	mu sync.Mutex
	// news tells of more that is kept, and of room.
	news sync.Cond
	// base is the offset of kept, which was read and not acknowledged; end is the
	// source's error. Guarded by mu.
	base uint64
	kept []byte
	end  error
}

// newOnce begins to read, on a goroutine that ends with its source or, where that
// never says another word, with the process.
func newOnce(source io.ReadCloser) *once {
	o := &once{source: source}
	o.news.L = &o.mu
	go o.fill()
	return o
}

func (o *once) fill() {
	chunk := make([]byte, uploadChunk)
	for {
		n, err := o.source.Read(chunk)
		o.mu.Lock()
		o.kept, o.end = append(o.kept, chunk[:n]...), err
		o.news.Broadcast()
		for len(o.kept) >= mostUnacknowledged && err == nil {
			o.news.Wait()
		}
		o.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// from is the beginning: what a server has of an earlier run may be the same, and
// it will say if it is not.
func (o *once) from(uint64) uint64 { return 0 }

func (o *once) acknowledge(stored uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if stored > o.base {
		n := min(stored-o.base, uint64(len(o.kept)))
		o.kept = append([]byte(nil), o.kept[n:]...)
		o.base += n
		o.news.Broadcast()
	}
}

func (o *once) read(ctx context.Context, offset uint64, buf []byte) (int, error) {
	defer context.AfterFunc(ctx, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.news.Broadcast()
	})()
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		if offset < o.base {
			return 0, fmt.Errorf("the server asks for octet %d of a stream again that was given up to %d: drop the campaign and create it again", offset, o.base)
		}
		at := min(offset-o.base, uint64(len(o.kept)))
		n := copy(buf, o.kept[at:])
		all := at+uint64(n) == uint64(len(o.kept))
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case all && o.end != nil:
			return n, o.end
		case n > 0:
			return n, nil
		}
		o.news.Wait()
	}
}

// Close implements io.Closer.
func (o *once) Close() error { return o.source.Close() }

// run ends when all is on the server's disk. stored is what is there.
func (u *upload) run(ctx context.Context, stored uint64) error {
	at := u.list.from(stored)
	wait, since := 50*time.Millisecond, time.Now()
	for {
		before := stored
		complete, err := u.stream(ctx, at, &stored)
		switch {
		case complete:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !control.Transient(err):
			return err
		}
		if stored > before {
			wait, since = 50*time.Millisecond, time.Now()
		}
		if time.Since(since) > uploadPatience {
			return fmt.Errorf("upload of %s stopped after %d octets, which stay on the server; the same command goes on: %w", u.name, stored, control.Cause(err))
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		wait = min(2*wait, uploadAgain)
		switch file, err := u.there(ctx); {
		case err != nil && !control.Transient(err):
			return err
		case err != nil:
		case file.Complete:
			return nil
		default:
			stored = file.Stored
		}
		at = stored
	}
}

// there asks how much the server has.
func (u *upload) there(ctx context.Context) (*pb.IntakeFile, error) {
	res, err := u.client.GetIntake(ctx, &pb.GetIntakeRequest{CampaignId: u.id})
	if err != nil {
		return nil, err
	}
	for _, f := range res.Intake.Files {
		if f.Name == u.name {
			return f, nil
		}
	}
	return nil, fmt.Errorf("the server has a campaign %s without %s", u.id, u.name)
}

// stream sends from an offset on. It ends when all is on disk, or with an error.
func (u *upload) stream(ctx context.Context, at uint64, stored *uint64) (complete bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := u.client.UploadRecipients(ctx)
	if err != nil {
		return false, err
	}
	var sending sync.WaitGroup
	var unread error // why the list could not be read; before sending is done
	sending.Go(func() {
		if unread = u.send(ctx, stream, at); unread != nil {
			cancel()
		}
	})
	for {
		res, err := stream.Receive()
		if err != nil {
			cancel()
			sending.Wait()
			_ = stream.CloseResponse() // it has failed
			if unread != nil {
				return false, unread
			}
			return false, err
		}
		*stored = max(*stored, res.File.Stored)
		u.list.acknowledge(res.File.Stored)
		u.shown(*stored)
		if res.File.Complete {
			cancel()
			sending.Wait()
			_ = stream.CloseResponse() // all that counts was said
			return true, nil
		}
	}
}

// chunks is the half of the stream that carries the list.
type chunks interface {
	Send(*pb.UploadRecipientsRequest) error
	CloseRequest() error
}

// send reads and sends until the end. Its error is the list's; the stream's own
// comes to who receives.
func (u *upload) send(ctx context.Context, stream chunks, at uint64) error {
	buf := make([]byte, uploadChunk)
	for {
		n, err := u.list.read(ctx, at, buf)
		if err != nil && !errors.Is(err, io.EOF) {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("read %s: %w", u.name, err)
		}
		last := err != nil
		if err := stream.Send(&pb.UploadRecipientsRequest{Chunk: &pb.Chunk{
			CampaignId: u.id, File: u.name, Offset: at, Data: buf[:n], Last: last,
		}}); err != nil {
			return nil
		}
		at += uint64(n)
		if last {
			_ = stream.CloseRequest() // as above
			return nil
		}
	}
}
