package control

import (
	"context"
	"fmt"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// services are the full names of all services of penstock.v1, in order of their
// files.
func services() (names []string) {
	protoregistry.GlobalFiles.RangeFilesByPackage("penstock.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			names = append(names, string(f.Services().Get(i).FullName()))
		}
		return true
	})
	return names
}

// health answers grpc.health.v1.Health/Check: SERVING while the ledger is open
// and, in a process that sends, nothing holds it up. Watch is UNIMPLEMENTED, as
// the protocol has it for those who ask now and then.
type health struct{ desk *desk }

// Check implements grpchealth.Checker.
func (h health) Check(ctx context.Context, req *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	known := req.Service == ""
	for _, name := range services() {
		known = known || name == req.Service
	}
	if !known {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("there is no service %q; an empty name asks for the process", req.Service))
	}
	res := &grpchealth.CheckResponse{Status: grpchealth.StatusServing}
	if h.desk.ready(ctx) != nil {
		res.Status = grpchealth.StatusNotServing
	}
	return res, nil
}

// ready says why the process cannot do its work; nil when it can.
func (d *desk) ready(ctx context.Context) error {
	if d.engine != nil {
		if err := d.engine.Ready(ctx); err != nil {
			return err
		}
	}
	return d.ledger.Failure()
}
