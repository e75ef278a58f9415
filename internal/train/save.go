package train

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"concord/internal/checkpoint"
	"concord/internal/cluster/worker"
	"concord/internal/report"
	"concord/internal/rundir"
)

// lostLeadership is why this machine must not write to the run's folder any more: another
// one leads, and writes there.
func (x *session) lostLeadership() error {
	if x.leads == nil {
		return nil
	}
	return x.leads()
}

// save writes a checkpoint. On many machines it waits for a disk that takes none,
// so that the steps since the last one are not lost: the others hold them.
func (x *session) save(ctx context.Context) error {
	err := x.trySave(ctx)
	if x.machines == nil || !onDisk(err) {
		return x.unsaved(err)
	}
	fmt.Fprintf(x.ui.warn(), "concord: step %d cannot be saved: %v\n  all machines wait for %v; fix: make room for the run's "+
		"files in %s\n", x.Done, err, diskPatience, x.dir)
	for began := time.Now(); onDisk(err) && time.Since(began) < diskPatience; err = x.trySave(ctx) {
		select {
		case <-ctx.Done():
			return x.unsaved(err)
		case <-time.After(diskRetry):
		}
	}
	if err == nil {
		x.say("step %d is saved: going on", x.Done)
	}
	return x.unsaved(err)
}

// diskPatience is how long a run on many machines waits for a disk, and diskRetry
// between two attempts.
const (
	diskPatience = 10 * time.Minute
	diskRetry    = 5 * time.Second
)

// onDisk says that err is of a file: a fault that a user can mend, and go on.
func onDisk(err error) bool {
	pe := (*fs.PathError)(nil)
	return errors.As(err, &pe) && !errors.Is(err, ErrDevice) && !errors.Is(err, ErrCluster)
}

// trySave is save, once.
func (x *session) trySave(ctx context.Context) error {
	if err := x.lostLeadership(); err != nil {
		return err
	}
	x.state.Saved = x.saved()
	x.state.Choices = x.Engine.TuneChoices()
	now := time.Now()
	x.state.Seconds += now.Sub(x.started).Seconds()
	x.started = now
	err := x.Trainer.save(ctx, x.dir, x.state)
	if err == nil && x.machines != nil {
		x.machines.Saved()
	}
	return err
}

// unsaved adds the fix for a file of the run that cannot be written.
func (x *session) unsaved(err error) error {
	if err == nil || errors.Is(err, ErrDevice) || errors.Is(err, ErrCluster) {
		return err
	}
	switch {
	case !onDisk(err): // an overflow in f16, say
		return DataError(fmt.Errorf("%w\n  the run is saved; fix: %s", err, report.Command("resume", x.dir, "-o", "model.save_dtype=bf16")))
	case x.machines != nil:
		return DataError(fmt.Errorf("%w\n  fix: make room for the run's files, then: %s; the other machines wait 10 minutes for a "+
			"coordinator", err, report.Command("resume", x.dir)))
	}
	return DataError(fmt.Errorf("%w\n  fix: make room for the run's files, then: %s", err, report.Command("resume", x.dir)))
}

// failed adds to a step's error the files that are left of the run.
func (x *session) failed(err error) error {
	if e := (*worker.EndedError)(nil); errors.As(err, &e) { // of this machine's own coordinator
		err = as(ErrCluster, errors.New(e.Text))
	}
	path, step, _, none := checkpoint.Latest(rundir.Checkpoints(x.dir))
	if none != nil {
		return err
	}
	return fmt.Errorf("%w\n  the checkpoint of step %d is whole: %s", err, step, path)
}

// stopped saves after an interruption and says how to go on; other errors pass.
func (x *session) stopped(ctx context.Context, err error) error {
	if ctx.Err() == nil || !errors.Is(err, context.Canceled) {
		return err
	}
	if err := x.lostLeadership(); err != nil {
		return err
	}
	if err := x.save(ctx); err != nil {
		return err
	}
	return interrupted(x.dir, x.Done)
}
