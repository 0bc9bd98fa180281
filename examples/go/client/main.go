// The client joins a room of the chat by its uid, and follows it from pod to pod: the resolver says where it is.
//
//	client --resolver http://statefulroute-resolver.statefulroute-system.svc:8080 --namespace play alice
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"example.com/chat/resolver"
	"example.com/chat/rest"
)

const pause = 500 * time.Millisecond

// A Chat is the service of a room.
type Chat struct {
	resolver, namespace, route string
}

func main() {
	log.SetFlags(0)
	var chat Chat
	flag.StringVar(&chat.resolver, "resolver", "http://127.0.0.1:8080", "the URL of the resolver")
	flag.StringVar(&chat.namespace, "namespace", "play", "the namespace of the chat")
	flag.StringVar(&chat.route, "route", "rooms", "the StatefulRoute of the chat")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("which room? Give its uid")
	}
	// A killed pod does not refuse connections: after this time the room is looked up again.
	http.DefaultTransport.(*http.Transport).DialContext = (&net.Dialer{Timeout: 3 * time.Second}).DialContext
	chat.stay(flag.Arg(0), typedLines())
}

// stay stays in the room, at any pod, until the input ends and is sent.
func (chat Chat) stay(uid string, lines <-chan string) {
	sender := &Sender{lines: lines}
	for !sender.isDone() {
		address, err := chat.bind(uid)
		if err == nil {
			err = visit("http://"+address+"/rooms/"+url.PathEscape(uid), sender)
		}
		if err != nil {
			fmt.Println("* not now:", err)
		}
		if !sender.isDone() {
			time.Sleep(pause)
		}
	}
}

// bind binds the room to the best pod, unless it is bound, and returns the address of its pod.
func (chat Chat) bind(uid string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	link := fmt.Sprintf("%s/v1/namespaces/%s/routes/%s/links/%s", strings.TrimSuffix(chat.resolver, "/"),
		chat.namespace, chat.route, url.PathEscape(uid))
	var answer resolver.LinkAnswer
	return answer.Address, rest.Call(ctx, http.MethodPost, link, nil, &answer)
}

// visit joins the room at a pod, prints its lines and sends the typed ones, until the room closes or the input ends.
func visit(room string, sender *Sender) error {
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, room, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if err := rest.Check(response); err != nil {
		return err
	}
	go func() {
		defer leave()
		_, _ = io.Copy(os.Stdout, response.Body)
	}()
	return sender.send(ctx, room)
}

// A Sender sends typed lines. It keeps a line until a pod has stored it.
type Sender struct {
	lines   <-chan string
	pending string
	ended   bool
}

// send sends lines to the room until the context ends, the input ends, or a line is not stored.
func (sender *Sender) send(ctx context.Context, room string) error {
	for {
		if sender.pending == "" {
			select {
			case line, ok := <-sender.lines:
				sender.pending, sender.ended = line, !ok
			case <-ctx.Done():
				return nil
			}
			if sender.ended {
				return nil
			}
		}
		if err := say(ctx, room, sender.pending); err != nil {
			return err
		}
		sender.pending = ""
	}
}

func (sender *Sender) isDone() bool { return sender.ended && sender.pending == "" }

func say(ctx context.Context, room, line string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, room, strings.NewReader(line))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return rest.Check(response)
}

func typedLines() <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for input := bufio.NewScanner(os.Stdin); input.Scan(); {
			if line := strings.TrimSpace(input.Text()); line != "" {
				lines <- line
			}
		}
	}()
	return lines
}
