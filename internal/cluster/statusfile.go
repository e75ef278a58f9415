package cluster

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"concord/internal/cluster/coordinator"
)

// statusFile is where a coordinator leaves its Status for concord status.
const statusFile = "status.json"

// StatusTo writes the status to the cluster folder dir, at most four times a
// second and beside the caller, but for the last one, which is there when the
// function returns. A later term's is left alone: that coordinator has taken over
// from this one, in the same folder.
func StatusTo(dir string) func(s coordinator.Status, last bool) {
	began := time.Now()
	return newStatusWriter(func(s coordinator.Status) {
		if old, err := ReadStatus(dir); err == nil && old.Term > s.Term && old.Time.After(began) {
			return
		}
		if b, err := json.Marshal(s); err == nil {
			writeFile(filepath.Join(dir, statusFile), b)
		}
	}).take
}

// statusWriter writes one status at a time: while a slow disk takes one, only the newest waits.
type statusWriter struct {
	put func(s coordinator.Status)

	file   chan struct{} // taken while one is written; no mutex, whose wait a test's clock would not pass
	newest time.Time     // the latest that was to be written

	mu    sync.Mutex
	taken time.Time           // the last that was not passed over
	next  *coordinator.Status // waits to be written
	busy  bool                // a goroutine writes
}

func newStatusWriter(put func(s coordinator.Status)) *statusWriter {
	return &statusWriter{put: put, file: make(chan struct{}, 1)}
}

func (w *statusWriter) take(s coordinator.Status, last bool) {
	w.mu.Lock()
	if last {
		w.next = nil
		w.mu.Unlock()
		w.write(s)
		return
	}
	defer w.mu.Unlock()
	if time.Since(w.taken) >= 250*time.Millisecond {
		w.taken = time.Now()
		s.Evicted = slices.Clone(s.Evicted)
		w.next = &s
		if !w.busy {
			w.busy = true
			go w.run()
		}
	}
}

// run writes until nothing waits.
func (w *statusWriter) run() {
	for {
		w.mu.Lock()
		s := w.next
		w.next, w.busy = nil, s != nil
		w.mu.Unlock()
		if s == nil {
			return
		}
		w.write(*s)
	}
}

// write writes a status that is not older than the one on disk.
func (w *statusWriter) write(s coordinator.Status) {
	w.file <- struct{}{}
	defer func() { <-w.file }()
	if !s.Time.Before(w.newest) {
		w.newest = s.Time
		w.put(s)
	}
}

// ReadStatus reads the status of the run whose cluster folder is dir.
func ReadStatus(dir string) (coordinator.Status, error) {
	var s coordinator.Status
	b, err := os.ReadFile(filepath.Join(dir, statusFile))
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(b, &s)
}
