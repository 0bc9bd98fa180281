package main

import (
	"context"
	"errors"
	"log"
	"time"

	"example.com/chat/rest"
	"example.com/chat/sidecar"
)

// handOver lets a room move. From now on it takes no lines: they wait for the new pod.
func (rooms *Rooms) handOver(handOver sidecar.HandOverEvent) {
	if handOver.Route != rooms.driver.route {
		return
	}
	room := rooms.get(handOver.Uid)
	if room != nil {
		room.pause() // a line that was being stored is stored now
	}
	rooms.mutex.Lock()
	defer rooms.mutex.Unlock()
	if !rooms.handingOver[handOver.Id] { // a "state" repeats it
		rooms.handingOver[handOver.Id] = true
		go rooms.leave(handOver, room) // two pods may hand rooms over to each other
	}
}

// leave tries to move a room, until it has moved or stays.
func (rooms *Rooms) leave(handOver sidecar.HandOverEvent, room *Room) {
	defer func() {
		rooms.mutex.Lock()
		defer rooms.mutex.Unlock()
		delete(rooms.handingOver, handOver.Id)
	}()
	for {
		err := rooms.tryLeave(handOver, room)
		var problem *rest.Problem
		if err == nil || (errors.As(err, &problem) && problem.Kind() == "no-such-hand-over") {
			return
		}
		log.Printf("room %s is not handed over yet: %v", handOver.Uid, err)
		time.Sleep(retryPause)
	}
}

func (rooms *Rooms) tryLeave(handOver sidecar.HandOverEvent, room *Room) error {
	ctx, cancel := context.WithTimeout(context.Background(), sidecarTimeout)
	defer cancel()
	memory, isMemory := rooms.store.(*Memory)
	if !isMemory { // the new pod reads the lines from the store
		return rooms.driver.Confirm(ctx, handOver.Id)
	}
	if room == nil {
		return rooms.driver.Send(ctx, handOver.Id, memory.Lines(handOver.Uid))
	}
	return rooms.driver.Send(ctx, handOver.Id, room.Lines())
}

// take takes the lines of a room that another pod hands over to this one.
func (rooms *Rooms) take(arriving sidecar.ArrivingEvent) {
	ctx, cancel := context.WithTimeout(context.Background(), sidecarTimeout)
	defer cancel()
	memory, isMemory := rooms.store.(*Memory)
	if !isMemory || arriving.Route != rooms.driver.route {
		_ = rooms.driver.Refuse(ctx, arriving.Id)
		return
	}
	lines, err := rooms.driver.Receive(ctx, arriving.Id)
	if err == nil {
		memory.Put(arriving.Uid, lines)
		err = rooms.driver.Accept(ctx, arriving.Id)
	}
	if err != nil { // the other pod sends them again
		memory.Put(arriving.Uid, nil)
		log.Printf("the lines of room %s are not taken: %v", arriving.Uid, err)
	}
}

// forget removes the lines of a room that does not arrive, or that has left before it was opened.
func (rooms *Rooms) forget(uid string) {
	if memory, isMemory := rooms.store.(*Memory); isMemory {
		memory.Put(uid, nil)
	}
}
