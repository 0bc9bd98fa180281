// Package endpointpicker sends the requests of the Gateway API Inference Extension's own tests to a resolver, by the client of these
// tests, and compares its answers with those that they expect of an endpoint picker.
package endpointpicker

import (
	"context"
	"os"
	"strings"
	"testing"

	extproccfg "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extproc "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/go-logr/logr"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"sigs.k8s.io/gateway-api-inference-extension/pkg/epp/metadata"
	"sigs.k8s.io/gateway-api-inference-extension/test/integration"
)

const (
	user = "alice" // the resolver takes the uid from the header of the objective
	held = 2       // the index of the pod that holds it
)

// The endpoints of the pods, by index.
var endpoints = strings.Split(os.Getenv("ENDPOINTS"), ",")

func connect(t *testing.T) extproc.ExternalProcessor_ProcessClient {
	t.Helper()
	connection, err := grpc.NewClient(os.Getenv("PICKER"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	stream, err := extproc.NewExternalProcessorClient(connection).Process(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// exchange sends the messages of one request, in the mode that the protocol requires of gateways, and returns as many responses.
func exchange(t *testing.T, requests []*extproc.ProcessingRequest, expected int) []*extproc.ProcessingResponse {
	t.Helper()
	requests[0].ProtocolConfig = &extproc.ProtocolConfiguration{RequestBodyMode: extproccfg.ProcessingMode_FULL_DUPLEX_STREAMED}
	responses, err := integration.StreamedRequest(t, connect(t), requests, expected)
	if err != nil {
		t.Fatal(err)
	}
	if len(responses) != expected {
		t.Fatalf("%d responses instead of %d: %v", len(responses), expected, responses)
	}
	return responses
}

// requireEndpoint compares the response to headers with the one that the suite expects: header and dynamic metadata.
func requireEndpoint(t *testing.T, response *extproc.ProcessingResponse, endpoint string) {
	t.Helper()
	expected := integration.NewRequestBufferedResponse(endpoint, nil)[0]
	if !proto.Equal(response.DynamicMetadata, expected.DynamicMetadata) {
		t.Errorf("the dynamic metadata is %v instead of %v", response.DynamicMetadata, expected.DynamicMetadata)
	}
	for _, option := range response.GetRequestHeaders().GetResponse().GetHeaderMutation().GetSetHeaders() {
		if option.Header.Key == metadata.DestinationEndpointKey && string(option.Header.RawValue) == endpoint {
			return
		}
	}
	t.Errorf("no header %s: %s in %v", metadata.DestinationEndpointKey, endpoint, response)
}

// requireBody compares the responses to the pieces of a body with those that the suite expects of an unchanged body.
func requireBody(t *testing.T, requests []*extproc.ProcessingRequest, responses []*extproc.ProcessingResponse) {
	t.Helper()
	for index, request := range requests {
		sent := request.GetRequestBody()
		expected := integration.NewRequestBufferedResponse("", sent.Body)[1]
		expected.GetRequestBody().Response.BodyMutation.GetStreamedResponse().EndOfStream = sent.EndOfStream
		if !proto.Equal(responses[index], expected) {
			t.Errorf("the response to piece %d is %v instead of %v", index, responses[index], expected)
		}
	}
}

func TestRequestsGoToThePodOfTheUser(t *testing.T) {
	logger := logr.Discard()
	objective := map[string]string{metadata.ObjectiveKey: user}
	for name, requests := range map[string][]*extproc.ProcessingRequest{
		"a request of a model":          integration.ReqLLM(logger, "prompt", user, ""),
		"with a rewritten model":        integration.ReqLLM(logger, "prompt", user, "target"),
		"with a stream as its response": integration.ReqLLMWithStream(logger, "prompt", user, ""),
		"of gRPC, generating":           integration.ReqGRPCLLM(logger, "prompt", user, integration.GenerateGRPCMethodName),
		"of gRPC, embedding":            integration.ReqGRPCLLM(logger, "prompt", user, integration.EmbedGRPCMethodName),
		"in fragments":                  integration.ReqRaw(objective, `{"model": "m`, `odel", "prompt": "p`, `rompt"}`),
		"with an invalid body":          integration.ReqRaw(objective, "no json"),
		"with an empty body":            integration.ReqRaw(objective, ""),
		"with headers only":             integration.ReqHeaderOnly(objective),
	} {
		t.Run(name, func(t *testing.T) {
			responses := exchange(t, requests, len(requests))
			requireEndpoint(t, responses[0], endpoints[held])
			requireBody(t, requests[1:], responses[1:])
		})
	}
}

func TestOnlyEndpointsOfTheSubsetArePicked(t *testing.T) {
	others := []string{endpoints[0], endpoints[1]}
	for name, subset := range map[string][]string{"with others": endpoints, "alone": {endpoints[held]}} {
		t.Run(name, func(t *testing.T) {
			requests := integration.GenerateStreamedRequestSet(logr.Discard(), "prompt", user, "", subset)
			requireEndpoint(t, exchange(t, requests, len(requests))[0], endpoints[held])
		})
	}
	for name, subset := range map[string][]string{"without the pod": others, "of unknown endpoints": {"10.0.0.1:1"}, "empty": {}} {
		t.Run(name, func(t *testing.T) {
			requests := integration.GenerateStreamedRequestSet(logr.Discard(), "prompt", user, "", subset)
			response := exchange(t, requests[:1], 1)[0]
			if code := response.GetImmediateResponse().GetStatus().GetCode(); code != 503 {
				t.Errorf("the status is %v instead of 503: %v", code, response)
			}
		})
	}
}
