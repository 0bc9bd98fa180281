package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"sync"
)

// ErrFenced means that a later holder has opened the room: the write does not count.
var ErrFenced = errors.New("a later holder has opened the room")

// A Store keeps the lines of rooms.
type Store interface {
	// Open claims a room for a token, and returns its lines.
	Open(uid string, token int64) ([]string, error)
	// Save writes the lines of a room, unless a later holder has opened it.
	Save(uid string, token int64, lines []string) error
}

// Memory holds the lines of rooms that other pods have handed over, until they are opened. The lines of open rooms are
// with the rooms, and are lost with the pod.
type Memory struct {
	mutex   sync.Mutex
	arrived map[string][]string
}

// Put adds the lines of a room; nil removes them.
func (memory *Memory) Put(uid string, lines []string) {
	memory.mutex.Lock()
	defer memory.mutex.Unlock()
	if lines == nil {
		delete(memory.arrived, uid)
	} else {
		memory.arrived[uid] = lines
	}
}

// Lines returns the lines of a room that is not open.
func (memory *Memory) Lines(uid string) []string {
	memory.mutex.Lock()
	defer memory.mutex.Unlock()
	return append([]string{}, memory.arrived[uid]...)
}

// Keep removes the lines of other rooms than these.
func (memory *Memory) Keep(uids map[string]bool) {
	memory.mutex.Lock()
	defer memory.mutex.Unlock()
	maps.DeleteFunc(memory.arrived, func(uid string, _ []string) bool { return !uids[uid] })
}

// Open returns the lines that have arrived.
func (memory *Memory) Open(uid string, _ int64) ([]string, error) {
	lines := memory.Lines(uid)
	memory.Put(uid, nil)
	return lines, nil
}

// Save does nothing: the room has its lines.
func (memory *Memory) Save(string, int64, []string) error { return nil }

// A Folder keeps the lines of rooms in a folder that all pods share.
//
// Each holder of a room writes a file of its own, named by its fencing token. The file with the greatest token counts,
// so a pod that was cut off, and still writes, changes nothing that a later holder reads. No locks are needed: a holder
// creates its file before it reads those of earlier ones, and looks for later ones after each write. A write that
// returned without an error was therefore read by every later holder.
type Folder struct {
	path string
}

// Open claims a room for a token, and returns its lines.
func (folder Folder) Open(uid string, token int64) ([]string, error) {
	if err := os.MkdirAll(folder.room(uid), 0o700); err != nil {
		return nil, err
	}
	_, err := os.Stat(filepath.Join(folder.room(uid), fileName(token)))
	if errors.Is(err, os.ErrNotExist) {
		err = folder.write(uid, token, nil) // a file without lines: opened, and not yet written
	}
	if err != nil {
		return nil, err
	}
	names, err := folder.files(uid)
	if err != nil {
		return nil, err
	}
	var lines []string
	for i := len(names) - 1; i >= 0 && lines == nil; i-- {
		data, err := os.ReadFile(filepath.Join(folder.room(uid), names[i]))
		if errors.Is(err, os.ErrNotExist) { // removed by a later holder
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(data, &lines); err != nil {
			return nil, err
		}
	}
	if lines == nil {
		lines = []string{}
	}
	return lines, folder.Save(uid, token, lines)
}

// Save writes the lines of a room, unless a later holder has opened it.
func (folder Folder) Save(uid string, token int64, lines []string) error {
	if err := folder.write(uid, token, lines); err != nil {
		return err
	}
	names, err := folder.files(uid)
	if err != nil {
		return err
	}
	own := fileName(token)
	if len(names) > 0 && names[len(names)-1] > own {
		return ErrFenced
	}
	for _, name := range names {
		if name < own {
			_ = os.Remove(filepath.Join(folder.room(uid), name)) // the next holder removes what remains
		}
	}
	return nil
}

// write replaces the file of a token at once: a reader sees the lines before or after.
func (folder Folder) write(uid string, token int64, lines []string) error {
	data, err := json.Marshal(lines)
	if err != nil {
		return err
	}
	path := filepath.Join(folder.room(uid), fileName(token))
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// files returns the names of a room's files, that of the greatest token last.
func (folder Folder) files(uid string) ([]string, error) {
	entries, err := os.ReadDir(folder.room(uid))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries { // sorted by name
		if filepath.Ext(entry.Name()) == ".json" {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

func (folder Folder) room(uid string) string {
	return filepath.Join(folder.path, "room-"+url.PathEscape(uid))
}

func fileName(token int64) string { return fmt.Sprintf("%020d.json", token) }
