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
	var file, mu sync.Mutex
	var written time.Time
	var newest time.Time // on disk
	write := func(s coordinator.Status) {
		file.Lock()
		defer file.Unlock()
		if s.Time.Before(newest) {
			return
		}
		newest = s.Time
		if old, err := ReadStatus(dir); err == nil && old.Term > s.Term && old.Time.After(began) {
			return
		}
		if b, err := json.Marshal(s); err == nil {
			writeFile(filepath.Join(dir, statusFile), b)
		}
	}
	return func(s coordinator.Status, last bool) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case last:
			write(s)
		case time.Since(written) >= 250*time.Millisecond:
			written = time.Now()
			s.Evicted = slices.Clone(s.Evicted)
			go write(s)
		}
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
