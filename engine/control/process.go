package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/penstock-mail/penstock/engine/config"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/problem"
)

// Process is what a program that serves can be asked about itself. Any goroutine
// may call it.
type Process interface {
	// Settings is what is in force.
	Settings() []config.Effective
	// Reload reads the configuration again, and what it names, and takes all of it
	// or nothing. Mistakes are a problem.List.
	Reload(ctx context.Context) (*Reloaded, error)
	// Drain has the program end in order, within a time; nil: as configured. It
	// returns when nothing new begins.
	Drain(ctx context.Context, within *time.Duration) error
}

// Reloaded is what is different after a reload.
type Reloaded struct {
	// Applied are in force, Restart are not before the next start.
	Applied, Restart []config.Change
	// Reread says what was read beside the configuration, a line each.
	Reread []string
	// Warnings are what is odd about it.
	Warnings problem.List
}

// What a process is doing.
const (
	stateServing  = "serving"
	stateDraining = "draining"
	stateHolding  = "holding"
)

func (s *server) GetInfo(ctx context.Context, _ *pb.GetInfoRequest) (*pb.GetInfoResponse, error) {
	all, err := s.ledger.Campaigns()
	if err != nil {
		return nil, status(err)
	}
	version, commit := build()
	dir, err := filepath.Abs(s.ledger.Dir())
	if err != nil { // the working directory is gone
		dir = s.ledger.Dir()
	}
	res := &pb.GetInfoResponse{
		Version: version, Commit: commit, GoVersion: runtime.Version(), ProcessId: uint32(os.Getpid()),
		Started: timestamppb.New(s.desk.started), DataDirectory: dir, State: stateHolding,
		Campaigns: uint32(len(all)), Calls: uint32(s.calls.count()), Listens: s.listens(),
	}
	if err := s.desk.ready(ctx); err != nil {
		res.NotReady = err.Error()
	}
	if e := s.desk.engine; e != nil {
		res.State = stateServing
		if e.Draining() {
			res.State = stateDraining
		}
		running, sites := e.AtWork()
		res.Running, res.Sites = uint32(running), uint32(sites)
	}
	return res, nil
}

// build is the program's version and commit, as the Go command recorded them.
func build() (version, commit string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown", ""
	}
	changed := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = "+changes"
		}
	}
	if commit != "" {
		commit += changed
	}
	return info.Main.Version, commit
}

// errNoProcess is the answer of a process that cannot be ruled.
var errNoProcess = connect.NewError(connect.CodeFailedPrecondition,
	errors.New("this process serves no longer than its own task takes; penstock serve is what can be asked for this"))

func (s *server) GetConfig(context.Context, *pb.GetConfigRequest) (*pb.GetConfigResponse, error) {
	if s.desk.process == nil {
		return nil, errNoProcess
	}
	res := &pb.GetConfigResponse{}
	for _, e := range s.desk.process.Settings() {
		res.Settings = append(res.Settings, &pb.Setting{Key: e.Key, Value: e.Value, Origin: e.Origin.String()})
	}
	return res, nil
}

func (s *server) Reload(ctx context.Context, _ *pb.ReloadRequest) (*pb.ReloadResponse, error) {
	if s.desk.process == nil {
		return nil, errNoProcess
	}
	r, err := s.desk.process.Reload(ctx)
	if err != nil {
		return nil, status(err)
	}
	res := &pb.ReloadResponse{Reread: r.Reread}
	for _, c := range r.Applied {
		res.Applied = append(res.Applied, &pb.SettingChange{Key: c.Key, Was: c.Was, Is: c.Is})
	}
	for _, c := range r.Restart {
		res.Restart = append(res.Restart, &pb.SettingChange{Key: c.Key, Was: c.Was, Is: c.Is})
	}
	for _, w := range r.Warnings {
		res.Warnings = append(res.Warnings, w.Error())
	}
	return res, nil
}

// longestDrain is smtp.drain's.
const longestDrain = 24 * time.Hour

func (s *server) Drain(ctx context.Context, req *pb.DrainRequest) (*pb.DrainResponse, error) {
	if s.desk.process == nil {
		return nil, errNoProcess
	}
	var within *time.Duration
	if req.Within != nil {
		d := req.Within.AsDuration()
		if req.Within.CheckValid() != nil || d < 0 || d > longestDrain {
			return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("within is %v, from 0 to %v may be", d, longestDrain))
		}
		within = &d
	}
	return &pb.DrainResponse{}, status(s.desk.process.Drain(ctx, within))
}
