// Package rest sends the requests of the sidecar's and the resolver's APIs, and decodes their answers.
package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"

	"example.com/chat/sidecar"
)

// A Problem is an answer other than success. Both APIs have the same one.
type Problem sidecar.Problem

func (problem *Problem) Error() string { return problem.Detail }

// Kind returns the end of the problem's type, like "not-linked".
func (problem *Problem) Kind() string {
	return problem.Type[strings.LastIndex(problem.Type, ":")+1:]
}

// Call sends a request, with a body unless it is nil, and decodes the answer unless it is nil.
// An answer other than success is returned as a *Problem.
func Call(ctx context.Context, method, url string, body, answer any) error {
	var content io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, method, url, content)
	if err != nil {
		return err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if err := Check(response); err != nil {
		return err
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(answer)
}

// Check returns the problem of an answer other than success.
func Check(response *http.Response) error {
	if response.StatusCode < 300 {
		return nil
	}
	data, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	problem := &Problem{Status: response.StatusCode}
	if json.Unmarshal(data, problem) != nil || problem.Detail == "" {
		problem.Detail = fmt.Sprintf("%s %s", path.Base(response.Request.URL.Path), response.Status)
		if text := strings.TrimSpace(string(data)); text != "" {
			problem.Detail = text
		}
	}
	return problem
}
