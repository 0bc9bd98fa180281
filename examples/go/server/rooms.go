package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync"

	"example.com/chat/sidecar"
)

var (
	errCutOff   = errors.New("this pod does not reach the API server")
	errDraining = errors.New("this pod is about to end")
)

// Rooms are the rooms of this pod. Each is linked to the pod as long as it is open.
type Rooms struct {
	driver *Driver
	store  Store

	mutex   sync.Mutex
	rooms   map[string]*Room
	opening map[string]chan struct{} // closed once the room is open, or cannot be opened
	refusal error                    // why no room is opened at present

	handingOver map[string]bool // the ids of hand-overs

	published sidecar.RoutingStateBodyRoutingState
}

// NewRooms returns the rooms of a pod, of which none is open.
func NewRooms(driver *Driver, store Store) *Rooms {
	return &Rooms{driver: driver, store: store, rooms: map[string]*Room{}, opening: map[string]chan struct{}{}, handingOver: map[string]bool{}}
}

// Open returns a room of this pod. If it is not open, it is first claimed and read from the store.
func (rooms *Rooms) Open(ctx context.Context, uid string) (*Room, error) {
	for {
		rooms.mutex.Lock()
		room, opening := rooms.rooms[uid], rooms.opening[uid]
		if room != nil || (opening == nil && rooms.refusal != nil) {
			defer rooms.mutex.Unlock()
			if room == nil {
				return nil, rooms.refusal
			}
			return room, nil
		}
		if opening == nil {
			opening = make(chan struct{})
			rooms.opening[uid] = opening
			rooms.mutex.Unlock()
			return rooms.open(uid, opening)
		}
		rooms.mutex.Unlock()
		select {
		case <-opening:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// open opens a room. It does not end if the guest leaves: others may wait for the room.
func (rooms *Rooms) open(uid string, opened chan struct{}) (*Room, error) {
	ctx, cancel := context.WithTimeout(context.Background(), sidecarTimeout)
	defer cancel()
	room, err := rooms.claim(ctx, uid)
	rooms.mutex.Lock()
	if err == nil {
		rooms.rooms[uid] = room
	}
	delete(rooms.opening, uid)
	rooms.mutex.Unlock()
	close(opened)
	rooms.publish(ctx)
	return room, err
}

func (rooms *Rooms) claim(ctx context.Context, uid string) (*Room, error) {
	claim, err := rooms.driver.Claim(ctx, uid)
	if err != nil {
		return nil, err
	}
	if !claim.Won {
		return nil, fmt.Errorf("%w: %s holds it", ErrElsewhere, nameOf(claim.Holder))
	}
	token, err := rooms.driver.Token(ctx, uid) // before the lines are read
	if err != nil {
		return nil, err
	}
	lines, err := rooms.store.Open(uid, token)
	if errors.Is(err, ErrFenced) {
		return nil, fmt.Errorf("%w: %w", ErrElsewhere, err)
	}
	if err != nil {
		return nil, err
	}
	return &Room{uid: uid, token: token, store: rooms.store, lines: lines, guests: map[chan string]struct{}{}}, nil
}

// get returns a room, or nil if it is not open. A room that is being opened opens first.
func (rooms *Rooms) get(uid string) *Room {
	rooms.mutex.Lock()
	opening := rooms.opening[uid]
	rooms.mutex.Unlock()
	if opening != nil {
		<-opening
	}
	rooms.mutex.Lock()
	defer rooms.mutex.Unlock()
	return rooms.rooms[uid]
}

// Close closes a room, if it is open, and sends its guests away.
func (rooms *Rooms) Close(uid, reason string) {
	if room := rooms.get(uid); room != nil {
		rooms.mutex.Lock()
		delete(rooms.rooms, uid)
		rooms.mutex.Unlock()
		log.Printf("room %s closes: %s", uid, reason)
		room.close(reason)
		ctx, cancel := context.WithTimeout(context.Background(), sidecarTimeout)
		defer cancel()
		rooms.publish(ctx)
	}
}

// publish publishes the number of rooms, and whether this pod accepts new ones.
func (rooms *Rooms) publish(ctx context.Context) {
	rooms.mutex.Lock()
	number, state := len(rooms.rooms), sidecar.Ready
	if errors.Is(rooms.refusal, errDraining) {
		state = sidecar.DenyNewCall
	}
	isPublished := rooms.published == state
	rooms.published = state
	rooms.mutex.Unlock()
	rooms.driver.SetLoad(ctx, number)
	if !isPublished {
		rooms.driver.SetRoutingState(ctx, state)
	}
}

// Guests returns the number of guests of each room.
func (rooms *Rooms) Guests() map[string]int {
	rooms.mutex.Lock()
	defer rooms.mutex.Unlock()
	guests := map[string]int{}
	for uid, room := range rooms.rooms {
		guests[uid] = room.size()
	}
	return guests
}

// Drain releases all rooms, and opens no more. Their lines are in the store.
func (rooms *Rooms) Drain(ctx context.Context) {
	rooms.refuse(errDraining)
	rooms.publish(ctx)
	bound, err := rooms.driver.Users(ctx) // also those without guests
	if err != nil {
		log.Printf("only open rooms are released: %v", err)
	}
	for _, uid := range append(bound, rooms.uids()...) { // to release one twice does nothing
		if err := rooms.driver.Release(ctx, uid); err != nil { // the guests then wait until this pod comes back
			log.Printf("room %s is not released: %v", uid, err)
		}
		rooms.Close(uid, errDraining.Error())
	}
}

// Handle handles an event of the sidecar.
func (rooms *Rooms) Handle(name string, data []byte) error {
	switch name {
	case "state": // the first event, and after an interruption
		state, err := decode[sidecar.StateEvent](data)
		if err != nil {
			return err
		}
		rooms.keep(state)
	case "arrived":
		arrived, err := decode[sidecar.ArrivedEvent](data)
		if err != nil {
			return err
		}
		if arrived.Route == rooms.driver.route {
			rooms.arrive(arrived.Uid)
		}
	case "hand-over":
		handOver, err := decode[sidecar.HandOverEvent](data)
		if err != nil {
			return err
		}
		rooms.handOver(handOver)
	case "arriving":
		arriving, err := decode[sidecar.ArrivingEvent](data)
		if err != nil {
			return err
		}
		go rooms.take(arriving)
	case "arrival-cancelled":
		cancelled, err := decode[sidecar.ArrivalCancelledEvent](data)
		if err != nil {
			return err
		}
		if cancelled.Route == rooms.driver.route {
			rooms.forget(cancelled.Uid)
		}
	case "staying": // the hand-over was withdrawn
		staying, err := decode[sidecar.StayingEvent](data)
		if err != nil {
			return err
		}
		if room := rooms.get(staying.Uid); room != nil && staying.Route == rooms.driver.route {
			room.resume()
		}
	case "left":
		left, err := decode[sidecar.LeftEvent](data)
		if err != nil {
			return err
		}
		if left.Route == rooms.driver.route {
			rooms.Close(left.Uid, "it has moved")
			rooms.forget(left.Uid)
		}
	case "cut-off": // the rooms may have been moved, and other pods may serve them
		rooms.cutOff()
	case "reconnected":
		rooms.refuse(nil)
	}
	return nil
}

// arrive releases a room that was bound to this pod just before the pod denied new ones.
func (rooms *Rooms) arrive(uid string) {
	rooms.mutex.Lock()
	isDraining := errors.Is(rooms.refusal, errDraining)
	rooms.mutex.Unlock()
	if !isDraining {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), sidecarTimeout)
	defer cancel()
	if err := rooms.driver.Release(ctx, uid); err != nil {
		log.Printf("room %s is not released: %v", uid, err)
	}
}

// keep closes the rooms that are no longer linked to this pod, and confirms the hand-overs that wait.
func (rooms *Rooms) keep(state sidecar.StateEvent) {
	held := map[string]bool{}
	for _, user := range state.Users {
		held[user.Uid] = held[user.Uid] || user.Route == rooms.driver.route
	}
	for _, uid := range rooms.uids() {
		if !held[uid] {
			rooms.Close(uid, "it has moved")
		}
	}
	for _, uid := range rooms.uids() {
		if room := rooms.get(uid); room != nil {
			room.resume()
		}
	}
	for _, handOver := range state.HandOvers {
		rooms.handOver(handOver)
	}
	if memory, isMemory := rooms.store.(*Memory); isMemory {
		memory.Keep(held) // an "arrival-cancelled" may have been missed
	}
	for _, arriving := range state.Arrivals {
		go rooms.take(arriving)
	}
	rooms.forgetPublished() // the sidecar may have been restarted
	ctx, cancel := context.WithTimeout(context.Background(), sidecarTimeout)
	defer cancel()
	rooms.publish(ctx)
	if state.IsCutOff {
		rooms.cutOff()
	} else {
		rooms.refuse(nil)
	}
}

func (rooms *Rooms) forgetPublished() {
	rooms.mutex.Lock()
	defer rooms.mutex.Unlock()
	rooms.published = ""
}

func (rooms *Rooms) cutOff() {
	rooms.refuse(errCutOff)
	for _, uid := range rooms.uids() {
		rooms.Close(uid, errCutOff.Error())
	}
}

// refuse sets why no room is opened; nil opens rooms again, unless the pod is about to end.
func (rooms *Rooms) refuse(reason error) {
	rooms.mutex.Lock()
	defer rooms.mutex.Unlock()
	if !errors.Is(rooms.refusal, errDraining) {
		rooms.refusal = reason
	}
}

// uids returns the rooms that are open or being opened.
func (rooms *Rooms) uids() []string {
	rooms.mutex.Lock()
	defer rooms.mutex.Unlock()
	var uids []string
	for uid := range rooms.rooms {
		uids = append(uids, uid)
	}
	for uid := range rooms.opening {
		uids = append(uids, uid)
	}
	return uids
}

func nameOf(pod sidecar.PodReference) string {
	if pod.PodIndex != nil {
		return fmt.Sprintf("pod %d", *pod.PodIndex)
	}
	if pod.PodName != nil {
		return *pod.PodName
	}
	return "another pod"
}
