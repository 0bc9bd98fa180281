package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"strings"
	"time"

	"example.com/chat/rest"
	"example.com/chat/sidecar"
)

const (
	// retryPause is the time until the next try after the sidecar did not answer.
	retryPause = 500 * time.Millisecond
	// silence is the time after which a stream of events is dead: the sidecar sends something each 15 seconds.
	silence = 30 * time.Second
)

// A Driver calls the sidecar.
type Driver struct {
	url   string
	route string
	pod   sidecar.ServerAnswer
}

// Connect waits until the sidecar knows the pod. It starts a driver that an earlier process of the server has stopped.
func Connect(ctx context.Context, url string) (*Driver, error) {
	driver := &Driver{url: url}
	for {
		err := rest.Call(ctx, http.MethodGet, url+"/v1/server", nil, &driver.pod)
		if err == nil && !driver.pod.IsRunning {
			err = rest.Call(ctx, http.MethodPost, url+"/v1/server/start", nil, nil)
		}
		if err == nil {
			driver.route = driver.pod.Route
			return driver, nil
		}
		log.Printf("the sidecar is not ready: %v", err)
		if err := pause(ctx, retryPause); err != nil {
			return nil, err
		}
	}
}

// Claim binds a room to this pod, unless another pod holds it; it returns the holder.
func (driver *Driver) Claim(ctx context.Context, uid string) (sidecar.ClaimAnswer, error) {
	var answer sidecar.ClaimAnswer
	return answer, rest.Call(ctx, http.MethodPost, driver.link(uid)+"/claim", sidecar.BindRequest{}, &answer)
}

// Release removes the link of a room, so that the next guest binds it to another pod.
func (driver *Driver) Release(ctx context.Context, uid string) error {
	condition := "?ifPodName=" + driver.pod.PodName
	if driver.pod.PodIndex != nil {
		condition = fmt.Sprintf("?ifPodIndex=%d", *driver.pod.PodIndex)
	}
	return rest.Call(ctx, http.MethodDelete, driver.link(uid)+condition, nil, nil)
}

// Users returns the rooms that are bound to this pod, open or not.
func (driver *Driver) Users(ctx context.Context) ([]string, error) {
	var answer sidecar.UsersAnswer
	err := rest.Call(ctx, http.MethodGet, driver.url+"/v1/users", nil, &answer)
	return answer.Users, err
}

// Confirm lets a room move to its new pod, now that its lines are stored and cannot change.
func (driver *Driver) Confirm(ctx context.Context, id string) error {
	return rest.Call(ctx, http.MethodPost, driver.url+"/v1/hand-overs/"+id+"/confirm", nil, nil)
}

// Send sends the lines of a room to its new pod. When the server there has them, the room moves.
func (driver *Driver) Send(ctx context.Context, id string, lines []string) error {
	return rest.Call(ctx, http.MethodPut, driver.url+"/v1/hand-overs/"+id+"/state", lines, nil)
}

// Receive returns the lines of a room that another pod sends. The other pod waits for Accept or Refuse.
func (driver *Driver) Receive(ctx context.Context, id string) ([]string, error) {
	lines := []string{}
	return lines, rest.Call(ctx, http.MethodGet, driver.url+"/v1/arrivals/"+id+"/state", nil, &lines)
}

// Accept tells the other pod that the lines of a room are here.
func (driver *Driver) Accept(ctx context.Context, id string) error {
	return rest.Call(ctx, http.MethodPost, driver.url+"/v1/arrivals/"+id+"/confirm", nil, nil)
}

// Refuse tells the other pod that the lines of a room are not taken.
func (driver *Driver) Refuse(ctx context.Context, id string) error {
	return rest.Call(ctx, http.MethodPost, driver.url+"/v1/arrivals/"+id+"/refuse", nil, nil)
}

// Token returns the fencing token of a room. The token of any later holder is greater.
func (driver *Driver) Token(ctx context.Context, uid string) (int64, error) {
	var answer sidecar.TokenAnswer
	for {
		err := rest.Call(ctx, http.MethodGet, driver.url+"/v1/users/"+url.PathEscape(uid)+"/token", nil, &answer)
		var problem *rest.Problem
		if !errors.As(err, &problem) || problem.Kind() != "user-not-held" {
			return answer.Token, err
		}
		if err := pause(ctx, retryPause/10); err != nil { // the sidecar has not seen the link yet
			return 0, fmt.Errorf("%w: %w", problem, err)
		}
	}
}

// SetLoad publishes the number of rooms.
func (driver *Driver) SetLoad(ctx context.Context, rooms int) {
	load := sidecar.LoadState{LoadState: int32(rooms)}
	if err := rest.Call(ctx, http.MethodPut, driver.url+"/v1/load-state", load, nil); err != nil {
		log.Printf("the load is not published: %v", err)
	}
}

// SetRoutingState publishes which users the pod accepts.
func (driver *Driver) SetRoutingState(ctx context.Context, state sidecar.RoutingStateBodyRoutingState) {
	body := sidecar.RoutingStateBody{RoutingState: state}
	if err := rest.Call(ctx, http.MethodPut, driver.url+"/v1/routing-state", body, nil); err != nil {
		log.Printf("the routing state is not published: %v", err)
	}
}

// Stop waits until the operator counts no user on this pod, and stops the reports.
func (driver *Driver) Stop(ctx context.Context) error {
	return rest.Call(ctx, http.MethodPost, driver.url+"/v1/server/stop", nil, nil)
}

func (driver *Driver) link(uid string) string {
	return fmt.Sprintf("%s/v1/routes/%s/links/%s", driver.url, driver.route, url.PathEscape(uid))
}

// Follow calls a function with the name and the data of each event, until the context ends. After an interruption it
// continues with the next event, or with a "state".
func (driver *Driver) Follow(ctx context.Context, handle func(name string, data []byte) error) {
	var lastID string
	for ctx.Err() == nil {
		if err := driver.follow(ctx, &lastID, handle); err != nil && ctx.Err() == nil {
			log.Printf("the events are interrupted: %v", err)
		}
		_ = pause(ctx, retryPause)
	}
}

func (driver *Driver) follow(ctx context.Context, lastID *string, handle func(string, []byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watchdog := time.AfterFunc(silence, cancel)
	defer watchdog.Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, driver.url+"/v1/events?handOver=true", nil)
	if err != nil {
		return err
	}
	if *lastID != "" {
		request.Header.Set("Last-Event-ID", *lastID)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if err := rest.Check(response); err != nil {
		return err
	}
	return readEvents(response.Body, func() { watchdog.Reset(silence) }, func(id, name string, data []byte) error {
		if err := handle(name, data); err != nil {
			return fmt.Errorf("event %s: %w", name, err)
		}
		if id != "" {
			*lastID = id
		}
		return nil
	})
}

// readEvents reads server-sent events. The data of each is one line; a line without a name is a sign of life.
func readEvents(stream io.Reader, alive func(), handle func(id, name string, data []byte) error) error {
	reader := bufio.NewReader(stream)
	var id, name string
	var data []byte
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			return err
		}
		alive()
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "id":
			id = value
		case "event":
			name = value
		case "data":
			data = []byte(value)
		case "":
			if name != "" {
				if err := handle(id, name, data); err != nil {
					return err
				}
			}
			id, name, data = "", "", nil
		}
	}
}

// decode decodes the data of an event.
func decode[T any](data []byte) (event T, err error) {
	return event, json.Unmarshal(data, &event)
}

func pause(ctx context.Context, duration time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(duration):
		return nil
	}
}
