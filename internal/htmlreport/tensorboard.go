package htmlreport

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"concord/internal/tensorboard"
)

// WriteTensorBoard writes the run's curves as one TensorBoard event file to dir, which is
// made; event files of an earlier call there are replaced. It returns the file's path.
func (r *Run) WriteTensorBoard(dir string, began time.Time) (path string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	old, err := filepath.Glob(filepath.Join(dir, "events.out.tfevents.*.concord"))
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, tensorboard.FileName(began, "concord"))
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	w := tensorboard.New(f, began)
	for p := range r.points(began) {
		for _, tag := range slices.Sorted(maps.Keys(p.values)) {
			w.Scalar(p.at, int64(p.step), tag, p.values[tag])
		}
	}
	err = w.Close()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return "", err
	}
	for _, p := range old {
		if p != path {
			os.Remove(p)
		}
	}
	return path, nil
}
