package htmlreport

import (
	"os"
	"path/filepath"
	"slices"
	"time"

	"concord/internal/report"
	"concord/internal/tensorboard"
)

// WriteTensorBoard writes the run's curves as one TensorBoard event file to dir, which is
// made; event files of an earlier call there are replaced. It returns the file's path.
// Times are those of the steps' own seconds after began, as records have no clock.
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
	at := r.steps(w, began)
	r.evals(w, began, at)
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

// steps writes the curves over steps, and returns when each step ended.
func (r *Run) steps(w *tensorboard.Writer, began time.Time) map[int]time.Time {
	at, now := map[int]time.Time{}, began
	for _, s := range r.Steps {
		now = now.Add(time.Duration(s.Seconds * float64(time.Second)))
		at[s.Step] = now
		scalar := func(tag string, x report.Float) { w.Scalar(now, int64(s.Step), tag, float64(x)) }
		scalar("train/loss", s.Loss)
		scalar("train/grad_norm", s.GradNorm)
		scalar("train/learning_rate", s.LR)
		scalar("train/clip_scale", s.ClipScale)
		scalar("train/seconds", report.Float(s.Seconds))
		if s.Pairs > 0 {
			scalar("conflict/negative_share", report.Float(float64(s.NegativePairs)/float64(s.Pairs)))
		}
		for _, lang := range r.Header.Languages {
			if x, ok := s.LossByLang[lang]; ok {
				scalar("loss/"+lang, x)
			}
		}
	}
	return at
}

// evals writes the held-out curves.
func (r *Run) evals(w *tensorboard.Writer, began time.Time, at map[int]time.Time) {
	for _, e := range r.Evals {
		when, ok := at[e.Step]
		if !ok {
			when = began
		}
		for _, row := range e.Rows {
			w.Scalar(when, int64(e.Step), "bits_per_byte/"+row.Lang, float64(row.BitsPerByte))
		}
		for _, seen := range []bool{true, false} {
			if slices.ContainsFunc(e.Rows, func(x report.EvalRow) bool { return x.Seen == seen }) {
				w.Scalar(when, int64(e.Step), map[bool]string{true: "bits_per_byte/mean_seen", false: "bits_per_byte/mean_unseen"}[seen], e.Mean(seen))
			}
		}
	}
}
