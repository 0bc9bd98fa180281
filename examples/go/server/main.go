// The server is one pod of a chat. Each room is at the pod that it is linked to; the sidecar beside the server binds it.
//
//	GET  /rooms/UID   joins a room: the lines so far, and each further line, until the room closes
//	POST /rooms/UID   says a line
//	GET  /rooms       the number of guests of each room
//
// A room that is at another pod is answered with 421: the client looks it up again.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const (
	maxLineBytes   = 4096
	sidecarTimeout = 15 * time.Second
	// drainTimeout is shorter than the pod's terminationGracePeriodSeconds, and longer than the sidecar's --drain-seconds.
	drainTimeout = 25 * time.Second
)

func main() {
	listen := flag.String("listen", ":8080", "the address to listen on")
	url := flag.String("sidecar", cmp.Or(os.Getenv("STATEFULROUTE_SIDECAR"), "http://127.0.0.1:8470"), "the sidecar's URL")
	path := flag.String("store", "", "a folder for the rooms' lines that all pods share; by default in memory")
	flag.Parse()
	var store Store = &Memory{arrived: map[string][]string{}}
	if *path != "" {
		store = Folder{*path}
	}
	if err := run(*listen, strings.TrimSuffix(*url, "/"), store); err != nil {
		log.Fatal(err)
	}
}

func run(listen, url string, store Store) error {
	stopped, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	driver, err := Connect(stopped, url)
	if err != nil {
		return err
	}
	rooms := NewRooms(driver, store)
	ended, end := context.WithCancel(context.Background())
	defer end()
	go driver.Follow(ended, rooms.Handle)
	server := &http.Server{Handler: handler(rooms, driver.pod.PodName)}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	log.Printf("%s serves rooms at %s", driver.pod.PodName, listener.Addr())
	select {
	case err := <-failed:
		return err
	case <-stopped.Done():
	}
	drain(driver, rooms)
	return server.Close()
}

// drain moves all guests to other pods: no new ones come, the rooms are released, and the operator has seen it.
func drain(driver *Driver, rooms *Rooms) {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	rooms.Drain(ctx)
	if err := driver.Stop(ctx); err != nil {
		log.Printf("the sidecar does not stop: %v", err)
	}
}

func handler(rooms *Rooms, pod string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /rooms", func(response http.ResponseWriter, _ *http.Request) {
		response.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(response).Encode(rooms.Guests())
	})
	mux.HandleFunc("GET /rooms/{uid}", func(response http.ResponseWriter, request *http.Request) {
		if err := join(rooms, pod, response, request); err != nil {
			fail(response, err)
		}
	})
	mux.HandleFunc("POST /rooms/{uid}", func(response http.ResponseWriter, request *http.Request) {
		if err := say(rooms, request); err != nil {
			fail(response, err)
			return
		}
		response.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// join keeps a guest in a room until the guest leaves or the room closes.
func join(rooms *Rooms, pod string, response http.ResponseWriter, request *http.Request) error {
	uid := request.PathValue("uid")
	room, err := rooms.Open(request.Context(), uid)
	if err != nil {
		return err
	}
	lines, guest, err := room.Join()
	if err != nil {
		return err
	}
	defer room.Leave(guest)
	response.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(response, "* %s is at %s, token %d\n", uid, pod, room.token)
	for _, line := range lines {
		fmt.Fprintln(response, line)
	}
	flusher := http.NewResponseController(response)
	for {
		if err := flusher.Flush(); err != nil {
			return nil // the guest has left
		}
		select {
		case line, ok := <-guest:
			if !ok {
				fmt.Fprintf(response, "* the room has closed: %s\n", room.Reason())
				return nil
			}
			fmt.Fprintln(response, line)
		case <-request.Context().Done():
			return nil
		}
	}
}

// say adds a line to a room.
func say(rooms *Rooms, request *http.Request) error {
	data, err := io.ReadAll(http.MaxBytesReader(nil, request.Body, maxLineBytes))
	if err != nil {
		return err
	}
	room, err := rooms.Open(request.Context(), request.PathValue("uid"))
	if err != nil {
		return err
	}
	return room.Say(request.Context(), strings.Join(strings.Fields(string(data)), " "))
}

func fail(response http.ResponseWriter, err error) {
	status := http.StatusServiceUnavailable
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, ErrElsewhere):
		status = http.StatusMisdirectedRequest
	case errors.As(err, &tooLarge):
		status = http.StatusRequestEntityTooLarge
	}
	http.Error(response, err.Error(), status)
}
