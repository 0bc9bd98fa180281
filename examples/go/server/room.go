package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

const (
	maxLines      = 1000 // that a room keeps
	maxGuestLines = 100  // that wait for a slow guest
)

// ErrElsewhere means that the room is at another pod: the guest has to look it up again.
var ErrElsewhere = errors.New("the room is not here")

// A Room has lines and guests.
type Room struct {
	uid   string
	token int64
	store Store

	mutex   sync.Mutex
	lines   []string
	guests  map[chan string]struct{}
	closing string        // why it is closed; empty if it is open
	paused  chan struct{} // closed when lines are taken again; nil if they are taken
}

// Lines returns the lines of the room.
func (room *Room) Lines() []string {
	room.mutex.Lock()
	defer room.mutex.Unlock()
	return append([]string{}, room.lines...)
}

// Join adds a guest. It returns the lines so far, and a channel with the next ones, which is closed when the guest has
// to leave.
func (room *Room) Join() ([]string, chan string, error) {
	room.mutex.Lock()
	defer room.mutex.Unlock()
	if room.closing != "" {
		return nil, nil, fmt.Errorf("%w: %s", ErrElsewhere, room.closing)
	}
	guest := make(chan string, maxGuestLines)
	room.guests[guest] = struct{}{}
	return append([]string(nil), room.lines...), guest, nil
}

// Leave removes a guest.
func (room *Room) Leave(guest chan string) {
	room.mutex.Lock()
	defer room.mutex.Unlock()
	delete(room.guests, guest)
}

// Say stores a line, and then sends it to all guests. A line waits while the room is handed over.
func (room *Room) Say(ctx context.Context, line string) error {
	for {
		room.mutex.Lock()
		paused := room.paused
		if paused == nil {
			defer room.mutex.Unlock()
			return room.say(line)
		}
		room.mutex.Unlock()
		select {
		case <-paused:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (room *Room) say(line string) error {
	if room.closing != "" {
		return fmt.Errorf("%w: %s", ErrElsewhere, room.closing)
	}
	lines := append(room.lines, line)
	lines = lines[max(0, len(lines)-maxLines):]
	err := room.store.Save(room.uid, room.token, lines)
	if errors.Is(err, ErrFenced) {
		return fmt.Errorf("%w: %w", ErrElsewhere, err)
	}
	if err != nil {
		return err
	}
	room.lines = lines
	for guest := range room.guests {
		select {
		case guest <- line:
		default: // too slow: it reads all lines when it joins again
			delete(room.guests, guest)
			close(guest)
		}
	}
	return nil
}

// Reason returns why the room is closed.
func (room *Room) Reason() string {
	room.mutex.Lock()
	defer room.mutex.Unlock()
	return room.closing
}

// pause lets lines wait, and returns once none is being stored.
func (room *Room) pause() {
	room.mutex.Lock()
	defer room.mutex.Unlock()
	if room.paused == nil {
		room.paused = make(chan struct{})
	}
}

// resume takes the lines that wait, and further ones.
func (room *Room) resume() {
	room.mutex.Lock()
	defer room.mutex.Unlock()
	room.release()
}

func (room *Room) release() {
	if room.paused != nil {
		close(room.paused)
		room.paused = nil
	}
}

func (room *Room) close(reason string) {
	room.mutex.Lock()
	defer room.mutex.Unlock()
	room.closing = reason
	room.release()
	for guest := range room.guests {
		close(guest)
	}
	clear(room.guests)
}

func (room *Room) size() int {
	room.mutex.Lock()
	defer room.mutex.Unlock()
	return len(room.guests)
}
