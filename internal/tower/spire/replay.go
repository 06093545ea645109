package spire

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	agentapi "funlab.casa/attestation_exporter/spire/proto/agent"
	serverapi "funlab.casa/attestation_exporter/spire/proto/server"
)

// A Recording is one recorded call.
type Recording struct {
	Method string
	At     time.Time
	Answer Answer
}

// Load reads the recording at dir/name.meta.json and its answer beside it.
func Load(dir, name string) (Recording, error) {
	text, err := os.ReadFile(filepath.Join(dir, name+".meta.json"))
	if err != nil {
		return Recording{}, fmt.Errorf("load recording: %w", err)
	}
	var meta struct {
		Method     string    `json:"method"`
		CodeNumber uint32    `json:"code_number"`
		Message    string    `json:"message"`
		RecordedAt time.Time `json:"recorded_at"`
	}
	if err := json.Unmarshal(text, &meta); err != nil {
		return Recording{}, fmt.Errorf("load recording %s: %w", name, err)
	}
	recording := Recording{Method: meta.Method, At: meta.RecordedAt}
	if code := codes.Code(meta.CodeNumber); code != codes.OK {
		recording.Answer.Err = status.Error(code, meta.Message)
		return recording, nil
	}
	wire, err := os.ReadFile(filepath.Join(dir, name+".resp.bin"))
	if err != nil {
		return Recording{}, fmt.Errorf("load recording: %w", err)
	}
	if recording.Answer.Message, err = decode(meta.Method, wire); err != nil {
		return Recording{}, fmt.Errorf("load recording %s: %w", name, err)
	}
	return recording, nil
}

// Replay lets the socket answer as recorded in dir, and returns when the last of
// those recordings was made. Names without a file are left out: not every call was
// recorded in every state.
func (s *Socket) Replay(dir string, names ...string) (time.Time, error) {
	var at time.Time
	for _, name := range names {
		recording, err := Load(dir, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return time.Time{}, err
		}
		if recording.At.After(at) {
			at = recording.At
		}
		s.Set(recording.Method, recording.Answer)
	}
	if at.IsZero() {
		return at, fmt.Errorf("replay: nothing recorded in %s", dir)
	}
	return at, nil
}

// decode keeps what the .proto files here don't name as unknown fields, so that the
// answer goes out as it came.
func decode(method string, wire []byte) (proto.Message, error) {
	message, err := answerOf(method)
	if err != nil {
		return nil, err
	}
	return message, proto.Unmarshal(wire, message)
}

func answerOf(method string) (proto.Message, error) {
	switch method {
	case grpc_health_v1.Health_Check_FullMethodName:
		return &grpc_health_v1.HealthCheckResponse{}, nil
	case serverapi.Agent_ListAgents_FullMethodName:
		return &serverapi.ListAgentsResponse{}, nil
	case serverapi.Entry_CountEntries_FullMethodName:
		return &serverapi.CountEntriesResponse{}, nil
	case serverapi.Bundle_GetBundle_FullMethodName:
		return &serverapi.Bundle{}, nil
	case serverapi.LocalAuthority_GetX509AuthorityState_FullMethodName:
		return &serverapi.GetX509AuthorityStateResponse{}, nil
	case serverapi.LocalAuthority_GetJWTAuthorityState_FullMethodName:
		return &serverapi.GetJWTAuthorityStateResponse{}, nil
	case serverapi.Debug_GetInfo_FullMethodName:
		return &serverapi.GetInfoResponse{}, nil
	case agentapi.Debug_GetInfo_FullMethodName:
		return &agentapi.GetInfoResponse{}, nil
	case workload.SpiffeWorkloadAPI_FetchX509Bundles_FullMethodName:
		return &workload.X509BundlesResponse{}, nil
	default:
		return nil, fmt.Errorf("no answer is known for %s", method)
	}
}
