package train

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"concord/internal/checkpoint"
	"concord/internal/config"
	"concord/internal/corpus"
	"concord/internal/model"
	"concord/internal/objective"
	"concord/internal/peft"
	"concord/internal/report"
	"concord/internal/rundir"
	"concord/internal/safetensors"
)

// Summary is the result of a finished run.
type Summary struct {
	Dir    string       `json:"dir"`
	Model  string       `json:"model"`
	Before *report.Eval `json:"before,omitempty"`
	After  *report.Eval `json:"after,omitempty"`
	End    report.End   `json:"end"`
}

// finished is the summary of the run in dir if it came to its end and its model
// is still there, or nil: then there is something to do. s is its checkpoint's.
func finished(dir string, s state, cfg *config.Config) *Summary {
	end, ok := lastEnd(rundir.Metrics(dir))
	out := filepath.Join(dir, rundir.ModelFolder)
	if !ok || end.Steps != s.Step || !isModel(out) {
		return nil
	}
	if early := end.Early; early != nil {
		if early.Of = cfg.Eval.Patience; !early.Over() { // the user has more of it
			return nil
		}
	}
	end.Output = out // the folder may have moved
	return &Summary{Dir: dir, Model: out, Before: s.Baseline, After: s.Last, End: end}
}

// isModel says that dir is the folder of a model, or of an adapter.
func isModel(dir string) bool {
	has := func(name string) bool { return exists(filepath.Join(dir, name)) }
	weights := has(safetensors.SingleFile) || has(safetensors.IndexFile)
	return weights && has(model.ConfigFile) || has(peft.WeightsFile) && has(peft.ConfigFile)
}

// print shows a finished run's closing table again.
func (s *Summary) print(ui UI) {
	r := report.New(report.Options{Out: ui.Out, Quiet: ui.Quiet})
	r.Printf(" run     %s is finished: there is nothing to resume", s.Dir)
	r.Compare(s.Before, s.After)
	r.End(s.End)
}

// Plan is the result of Check.
type Plan struct {
	Trained  int           `json:"languages_trained"`
	Steps    int           `json:"steps"`
	Rows     int           `json:"rows"`
	SeqLen   int           `json:"seq_len"`
	Data     []report.Data `json:"data"`
	Warnings []string      `json:"warnings,omitempty"` // on unusual things
}

// Check reads everything that a run needs, of the weights only their names and
// shapes, and opens no device.
func Check(cfg *config.Config) (Plan, error) {
	c, err := OpenCorpus(cfg)
	if err != nil {
		return Plan{}, err
	}
	if cfg.Model.Init != config.InitRandom {
		if err := model.Check(cfg.Resolve(cfg.Model.Path), c.Model); err != nil {
			return Plan{}, DataError(err)
		}
	}
	return checkOf(cfg, c)
}

// checkOf is Check of files that are open, but for the weights.
func checkOf(cfg *config.Config, c *corpus.Corpus) (Plan, error) {
	langs := c.Sampler.Languages()
	if _, err := objective.New(objectiveOptions(cfg, langs, c.TrainTokens(langs))); err != nil {
		return Plan{}, located(cfg, err)
	}
	if err := fitsModel(cfg, c.Model); err != nil {
		return Plan{}, err
	}
	data := c.Records()
	return Plan{Trained: len(langs), Steps: c.Steps, Rows: cfg.Batch.Rows * cfg.Batch.Accumulate, SeqLen: cfg.Batch.SeqLen, Data: data,
		Warnings: c.Warnings(StepsOf(cfg), data)}, nil
}

// Run trains as the run file says. Cancelling ctx finishes the step, saves and
// returns ErrInterrupted.
func Run(ctx context.Context, cfg *config.Config, ui UI) (*Summary, error) {
	if err := canListen(cfg); err != nil {
		return nil, err
	}
	c, err := OpenCorpus(cfg)
	if err != nil {
		return nil, err
	}
	cfg, engine, err := fit(cfg, c, ui.warn())
	if err != nil {
		return nil, err
	}
	l, err := newLock(cfg, cfg.OutDir()) // before the first step: later edits of the files are noticed
	if err != nil {
		closeDevice(engine)
		return nil, err
	}
	t, err := trainerOn(engine, cfg, c, nil, ui.warn(), false)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	if err := t.loadBase(); err != nil {
		return nil, err
	}
	dir, err := newRunDir(cfg, ui.warn())
	if err != nil {
		return nil, err
	}
	if err := l.stand(dir).write(dir); err != nil {
		return nil, err
	}
	release, err := rundir.Occupy(dir, ui.warn())
	if err != nil {
		return nil, err
	}
	defer release()
	return t.runAsCoordinator(ctx, dir, state{}, ui)
}

// Resume continues the run in dir from its newest whole checkpoint, to the same
// bits as if it had not stopped.
func Resume(ctx context.Context, dir string, overrides []string, ui UI) (*Summary, error) {
	return ResumeMoved(ctx, dir, "", overrides, ui)
}

// ResumeMoved is Resume of a run whose run file is now at runFile, "" where the
// run itself leads to it.
func ResumeMoved(ctx context.Context, dir, runFile string, overrides []string, ui UI) (*Summary, error) {
	l, err := readLock(dir)
	if err != nil {
		return nil, err
	}
	cfg, err := l.find(dir, runFile)
	if err != nil {
		return nil, err
	}
	found := l.moved(cfg, dir)
	if err := l.resumed(cfg, overrides); err != nil {
		return nil, err
	}
	if err := canListen(cfg); err != nil {
		return nil, err
	}
	release, err := rundir.Occupy(dir, ui.warn())
	if err != nil {
		return nil, err
	}
	defer release()
	if found.RunFile != l.RunFile {
		if err := found.write(dir); err != nil {
			return nil, err
		}
	}
	path, s, err := resumeFrom(dir, cfg, ui)
	if err != nil {
		return nil, err
	}
	if sum := finished(dir, s, cfg); sum != nil {
		sum.print(ui)
		return sum, nil
	}
	c, err := OpenCorpus(cfg)
	if err != nil {
		return nil, err
	}
	t, err := newTrainer(cfg, c, s.Choices, ui.warn(), false)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	t.gather = slices.ContainsFunc(overrides, func(o string) bool { return strings.HasPrefix(o, "cluster.workers=") })
	if path == "" {
		err = t.loadBase()
	} else {
		err = t.loadAll(path, s)
	}
	if err == nil && len(found.Weights) == 0 && cfg.KeepsBase() { // its checkpoints had the frozen weights until now
		if found.Weights, err = hashWeights(cfg); err == nil && len(found.Weights) > 0 {
			err = found.write(dir)
		}
	}
	if err != nil {
		return nil, err
	}
	if t.Objective.OfAnotherFAMO(s.Objective) {
		fmt.Fprintf(ui.warn(), "concord: the run was begun by a version whose \"famo\" is \"famo-lagged\" now: "+
			"from step %d on famo measures each batch before and after its update; a new run can have famo-lagged\n", t.Done+1)
	}
	return t.runAsCoordinator(ctx, dir, s, ui)
}

// resumed applies to cfg, the run's configuration, the settings that a resume may change.
func (l lock) resumed(cfg *config.Config, overrides []string) error {
	then := cfg.OuterSteps()
	if err := cfg.Override(overrides, resumable); err != nil {
		return err
	}
	if now := cfg.OuterSteps(); now != then {
		return &config.Error{Where: "cluster.outer", Msg: fmt.Sprintf("the run has outer steps of %d steps, not %d (0: none): "+
			"they are counted from its start", then, now), Fix: "resume without -o cluster.outer; or start a new run from this one's model"}
	}
	return nil
}

// resumeFrom is the newest whole checkpoint of the run in dir with its state. A
// run on many machines may go on without one, path "": the others hold the weights
// trained, and where they do not the run begins again.
func resumeFrom(dir string, cfg *config.Config, ui UI) (path string, s state, err error) {
	path, err = latest(dir, ui.warn())
	if errors.Is(err, checkpoint.ErrNone) && cfg.Clustered() {
		return "", state{}, nil
	}
	if err == nil {
		s, err = readState(path, cfg)
	}
	return path, s, err
}

// runAsCoordinator is loop, at the head of the other machines where the run has any.
func (t *Trainer) runAsCoordinator(ctx context.Context, dir string, s state, ui UI) (*Summary, error) {
	end, err := t.lead(ctx, dir, ui)
	if err != nil {
		return nil, err
	}
	sum, err := t.loop(ctx, dir, s, ui)
	end(err)
	return sum, err
}

// newRunDir makes DIR/NAME, or DIR/NAME-2 … when that exists: a run never
// writes into another's folder.
func newRunDir(cfg *config.Config, warn io.Writer) (string, error) {
	base := cfg.OutDir()
	for n := 1; ; n++ {
		dir := base
		if n > 1 {
			dir = fmt.Sprintf("%s-%d", base, n)
		}
		err := os.MkdirAll(filepath.Dir(dir), 0o755)
		if err == nil {
			err = os.Mkdir(dir, 0o755) // not MkdirAll: of two runs started at once, one gets it
		}
		if errors.Is(err, fs.ErrExist) && isDir(dir) {
			if exists(rundir.Checkpoints(dir)) && !exists(filepath.Join(dir, rundir.ModelFolder)) {
				fmt.Fprintf(warn, "concord: %s is an unfinished run; continue it with: %s\n", dir, report.Command("resume", dir))
			}
			continue
		}
		if err != nil {
			return "", &config.Error{Where: cfg.Where("run.dir"), Msg: "cannot make the run's folder: " + err.Error(),
				Fix: `dir = "a folder that can be written to"`}
		}
		return dir, nil
	}
}
