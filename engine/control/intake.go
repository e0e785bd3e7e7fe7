package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/intake"
	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/engine/problem"
)

// intakes implements penstock.v1.IntakeService.
type intakes struct {
	store *intake.Store // nil: this process takes no campaigns in
	// streams has an element for each upload stream that is open.
	streams chan struct{}
}

// Bounds of what is taken in at once.
const (
	// maxCreate bounds a CreateCampaignRequest, in octets, and mostCreates how
	// many are read at once, each of them up to three times in memory.
	maxCreate   = 64 << 20
	mostCreates = 2
	// maxAppend bounds a request with a chunk, in octets, also as base64.
	maxAppend = 2 * intake.MaxChunk
	// mostStreams is how many upload streams there may be, with a chunk each.
	mostStreams = 16
	// mostUnsynced is how many octets of an upload may wait for the disk.
	mostUnsynced = 32 << 20
)

// errNoIntake is the answer where no campaign can be created.
var errNoIntake = connect.NewError(connect.CodeFailedPrecondition,
	errors.New("this process takes no campaigns in: start penstock serve"))

func newIntakes(store *intake.Store) *intakes {
	return &intakes{store: store, streams: make(chan struct{}, mostStreams)}
}

func (s *intakes) CreateCampaign(ctx context.Context, req *pb.CreateCampaignRequest) (*pb.CreateCampaignResponse, error) {
	if s.store == nil {
		return nil, errNoIntake
	}
	r := &intake.Request{Definition: []byte(req.Definition), Start: req.Start}
	for _, f := range req.Files {
		content := f.GetData()
		if f.GetText() != "" {
			content = []byte(f.GetText())
		}
		r.Files = append(r.Files, intake.File{Name: f.GetName(), Content: content})
	}
	for _, u := range req.Uploads {
		size := int64(-1)
		if u.Size != nil {
			if size = int64(u.GetSize()); size < 0 {
				return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("upload %s: size %d is out of range", u.GetName(), u.GetSize()))
			}
		}
		r.Uploads = append(r.Uploads, intake.Announced{Name: u.GetName(), Size: size, SHA256: u.GetSha256()})
	}
	st, warnings, err := s.store.Create(ctx, r)
	if err != nil {
		return nil, intakeStatus(err)
	}
	return &pb.CreateCampaignResponse{Intake: intakeOf(st), Warnings: problems(warnings)}, nil
}

func (s *intakes) GetIntake(_ context.Context, req *pb.GetIntakeRequest) (*pb.GetIntakeResponse, error) {
	if s.store == nil {
		return nil, errNoIntake
	}
	st, err := s.store.Get(req.CampaignId)
	if err != nil {
		return nil, intakeStatus(err)
	}
	return &pb.GetIntakeResponse{Intake: intakeOf(st)}, nil
}

func (s *intakes) DropIntake(_ context.Context, req *pb.DropIntakeRequest) (*pb.DropIntakeResponse, error) {
	if s.store == nil {
		return nil, errNoIntake
	}
	if err := s.store.Drop(req.CampaignId); err != nil {
		return nil, intakeStatus(err)
	}
	return &pb.DropIntakeResponse{}, nil
}

func (s *intakes) AppendRecipients(_ context.Context, req *pb.AppendRecipientsRequest) (*pb.AppendRecipientsResponse, error) {
	if s.store == nil {
		return nil, errNoIntake
	}
	u, err := s.write(req.Chunk)
	if err != nil {
		return nil, intakeStatus(err)
	}
	stored, state, err := u.Sync()
	if err != nil {
		return nil, intakeStatus(err)
	}
	return &pb.AppendRecipientsResponse{File: storedFile(stored), State: string(state)}, nil
}

// write takes a chunk; it is on disk after the upload's next Sync.
func (s *intakes) write(c *pb.Chunk) (*intake.Upload, error) {
	u, err := s.store.Upload(c.GetCampaignId(), c.GetFile())
	if err != nil {
		return nil, err
	}
	return u, u.Write(int64(c.GetOffset()), c.GetData(), c.GetLast())
}

// UploadRecipients has two hands: this goroutine writes what comes, the other one
// syncs what was written, as often as the disk allows, and acknowledges it.
func (s *intakes) UploadRecipients(ctx context.Context, stream *connect.BidiStream[pb.UploadRecipientsRequest, pb.UploadRecipientsResponse]) error {
	if s.store == nil {
		return errNoIntake
	}
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		return connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("%d uploads are under way: try again later", mostStreams))
	}
	// Either hand ends the other one's work, as does the end of the call's time.
	over, end := context.WithCancelCause(ctx)
	defer context.AfterFunc(over, func() { stopReading(ctx) })()
	dirty, done := make(chan *intake.Upload), make(chan struct{})
	go func() {
		defer close(done)
		if err := acknowledge(stream, dirty); err != nil {
			end(err)
		}
		for range dirty { // whoever writes must not wait for nobody
		}
	}()
	err := s.receive(stream, dirty)
	close(dirty)
	<-done
	if over.Err() != nil {
		err = context.Cause(over)
	}
	end(nil)
	return intakeStatus(err)
}

// receive writes chunks until the stream ends. An upload is handed to dirty when
// the other hand is free, and always before the next one and at the end.
func (s *intakes) receive(stream *connect.BidiStream[pb.UploadRecipientsRequest, pb.UploadRecipientsResponse], dirty chan<- *intake.Upload) error {
	var last *intake.Upload
	flush := func() {
		if last != nil {
			dirty <- last
		}
	}
	for {
		req, err := stream.Receive()
		if err != nil {
			flush()
			switch {
			case errors.Is(err, io.EOF):
				return nil
			case errors.Is(err, os.ErrDeadlineExceeded):
				return connect.NewError(connect.CodeDeadlineExceeded, fmt.Errorf("nothing came for %v; what was acknowledged stays", usualPace.say))
			}
			return err
		}
		u, err := s.write(req.Chunk)
		if u != last {
			flush()
		}
		if err != nil {
			if u == last {
				flush()
			}
			return err
		}
		last = u
		if u.Unsynced() >= mostUnsynced {
			dirty <- u
			continue
		}
		select {
		case dirty <- u:
		default:
		}
	}
}

// acknowledge syncs uploads and says what is on disk.
func acknowledge(stream *connect.BidiStream[pb.UploadRecipientsRequest, pb.UploadRecipientsResponse], dirty <-chan *intake.Upload) error {
	for u := range dirty {
		stored, state, err := u.Sync()
		if err != nil {
			return err
		}
		if err := stream.Send(&pb.UploadRecipientsResponse{File: storedFile(stored), State: string(state)}); err != nil {
			return err
		}
	}
	return nil
}

func intakeOf(st intake.Status) *pb.Intake {
	in := &pb.Intake{
		CampaignId: st.ID, State: string(st.State), Problems: problems(st.Problems), Start: st.Start,
		Created: moment(st.Created), Rows: st.Rows, Rejected: st.Rejected,
	}
	for _, f := range st.Files {
		in.Files = append(in.Files, storedFile(f))
	}
	return in
}

func storedFile(f intake.Stored) *pb.IntakeFile {
	file := &pb.IntakeFile{Name: f.Name, Stored: uint64(f.Octets), Complete: f.Complete}
	if f.Size >= 0 {
		file.Size = proto.Uint64(uint64(f.Size))
	}
	return file
}

func problems(list problem.List) []*pb.Problem {
	var all []*pb.Problem
	for _, p := range list {
		all = append(all, &pb.Problem{
			File: p.File, Line: uint32(p.Line), Column: uint32(p.Column), Field: p.Field, Message: p.Message, Warning: p.Warning,
		})
	}
	return all
}

// intakeStatus gives an error its code, and what a program can act upon as a
// detail.
func intakeStatus(err error) error {
	var mistakes problem.List
	var differs *intake.Differs
	var offset *intake.Offset
	switch {
	case err == nil:
		return nil
	case errors.As(err, &mistakes):
		return detailed(connect.CodeInvalidArgument, err, &pb.Problems{Problems: problems(mistakes)})
	case errors.As(err, &differs):
		return detailed(connect.CodeAlreadyExists, err, &pb.Differences{CampaignId: differs.ID, Differences: differs.What})
	case errors.As(err, &offset):
		return detailed(connect.CodeOutOfRange, err, &pb.Wanted{CampaignId: offset.ID, File: offset.File, Offset: uint64(offset.Wanted)})
	case errors.Is(err, intake.ErrNone):
		return connect.NewError(connect.CodeNotFound, err)
	case errors.Is(err, intake.ErrLoaded), errors.Is(err, intake.ErrEnded), errors.Is(err, intake.ErrOther):
		return connect.NewError(connect.CodeFailedPrecondition, err)
	case errors.Is(err, intake.ErrLarge):
		return connect.NewError(connect.CodeInvalidArgument, err)
	case errors.Is(err, intake.ErrTooMany):
		return connect.NewError(connect.CodeResourceExhausted, err)
	case errors.Is(err, ledger.ErrLowSpace):
		return connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("%w: send it again when there is room", err))
	case errors.Is(err, intake.ErrClosed):
		return connect.NewError(connect.CodeUnavailable, err)
	}
	return status(err)
}

func detailed(code connect.Code, err error, detail proto.Message) error {
	e := connect.NewError(code, err)
	if d, err := connect.NewErrorDetail(detail); err == nil { // else the text has to do
		e.AddDetail(d)
	}
	return e
}
