package train

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"concord/internal/cluster"
	"concord/internal/cluster/protocol"
	"concord/internal/cluster/worker"
	"concord/internal/config"
	"concord/internal/exchange"
	"concord/internal/report"
	"concord/internal/rundir"
	"concord/internal/step"
	"concord/transport"
)

// WorkOptions are the settings of a machine that joins a run.
type WorkOptions struct {
	Join      string                 // the join line
	Again     func() (string, error) // the line for another attempt where machine 1 does not answer; nil: the same
	Dir       string                 // where to keep the identity and the run's files; "" the user's cache folder
	Listen    string                 // UDP address for other workers; ":0" any port
	Name      string                 // as the others see it; "" the host's name
	Have      []string               // folders that may have files of the run, such as the base model's: these are not sent
	Overrides []string               // of [device], and cluster.upload_limit
	WAN       bool                   // the link is one over the internet
}

// Work joins a run and trains until the run ends. Cancelling ctx leaves after
// the step.
func Work(ctx context.Context, o WorkOptions, ui UI) error {
	err := work(ctx, o, ui)
	if errors.Is(err, worker.ErrBanned) {
		err = fmt.Errorf("%w\n  fix: ask whoever runs machine 1; a new join line (concord invite there) and an empty --dir here let this "+
			"machine in again", err)
	}
	return err
}

// work is Work without advice.
func work(ctx context.Context, o WorkOptions, ui UI) error {
	line, err := transport.ParseLine(o.Join)
	if err != nil {
		return &config.Error{Where: "--join", Msg: err.Error()}
	}
	dir, release, err := workFolder(o.Dir, line.CA, ui.warn())
	if err != nil {
		return err
	}
	defer release()
	w, cfg, err := enlist(ctx, o, line, dir, ui)
	if err != nil {
		if ctx.Err() != nil {
			return ended(context.Canceled)
		}
		return err
	}
	defer w.Close()
	c, err := OpenCorpus(cfg)
	if err != nil {
		return err
	}
	t, err := newTrainer(cfg, c, nil, ui.warn(), false)
	if err != nil {
		return err
	}
	defer t.Close()
	if err := t.loadKept(); err != nil {
		return err
	}
	t.machines.Connect(exchange.Link{Member: w.Member, Fetched: filepath.Join(dir, "fetched"), Local: exchange.LocalFolder(dir, line.CA),
		Log: warner(ui)})
	defer t.machines.WaitSaved()
	ui.printf(" device  %s\n", t.Engine.Dev.Info().Name)
	if err := t.machines.CatchUp(ctx); err != nil {
		return ended(err)
	}
	ui.printf(" joined  at step %d of %d as worker %d\n", t.Done, c.Steps, w.Welcome.Worker)
	return ended(t.follow(ctx, ui))
}

// startPatience is how long a worker tries to reach machine 1 at its start: of machines
// that are started together that one may come last, or go on elsewhere.
const startPatience = 10 * time.Minute

// again reads the line anew.
func (o WorkOptions) again() func() (transport.Line, error) {
	if o.Again == nil {
		return nil
	}
	return func() (transport.Line, error) {
		text, err := o.Again()
		if err != nil {
			return transport.Line{}, err
		}
		return transport.ParseLine(text)
	}
}

// warner shows a machine's messages.
func warner(ui UI) func(format string, args ...any) {
	return func(format string, args ...any) {
		fmt.Fprintf(ui.warn(), "concord: %s\n", report.Printable(fmt.Sprintf(format, args...)))
	}
}

// logger is warner for a package that logs.
func logger(ui UI) *slog.Logger { return slog.New(report.NewLog(ui.warn())) }

// enlist joins the run and brings its configuration and files here.
func enlist(ctx context.Context, o WorkOptions, line transport.Line, dir string, ui UI) (*cluster.Joined, *config.Config, error) {
	name := cmp.Or(o.Name, hostName())
	listen := o.Listen
	if listen == "" {
		listen = ":0"
	}
	log := warner(ui)
	w, err := cluster.Join(ctx, cluster.JoinOptions{Dir: dir, Line: line, Again: o.again(), Patience: startPatience, Listen: listen,
		Socket: socket, WAN: o.WAN,
		Member: worker.Options{Hello: protocol.Hello{Name: name, Version: BuildVersion().Version}, Log: logger(ui)}})
	if err != nil {
		return nil, nil, as(ErrCluster, err)
	}
	if w.Hint != "" {
		log("%s", w.Hint)
	}
	cfg, err := receive(ctx, w, filepath.Join(dir, "run"), append(o.Have, others(dir)...), o.Overrides, ui)
	if err != nil {
		w.Close()
		return nil, nil, err
	}
	w.Tune(silence(cfg.Cluster), uploadLimit(cfg.Cluster))
	return w, cfg, nil
}

// others are the folders with base models of the runs that this user's machine has
// joined before: a model is sent once.
func others(dir string) []string {
	found, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), "*", "run", "model")) // the pattern is fixed
	return slices.DeleteFunc(found, func(f string) bool { return filepath.Dir(filepath.Dir(f)) == dir })
}

// receive fetches the run's files and reads its configuration, with this
// machine's own device.
func receive(ctx context.Context, w *cluster.Joined, dir string, have, overrides []string, ui UI) (*config.Config, error) {
	var stored config.Config
	if err := json.Unmarshal(w.Welcome.Config, &stored); err != nil {
		return nil, as(ErrCluster, fmt.Errorf("the run's configuration: %w", err))
	}
	files, bytes := 0, int64(0)
	stored.Device, stored.Run.Dir = config.Default().Device, "" // nothing from outside says where this machine writes
	err := w.Fetch(ctx, cluster.Files{Dir: dir, Have: have, Say: func(f protocol.File) { files, bytes = files+1, bytes+f.Size }})
	if files > 0 {
		ui.printf(" fetched %d files of the run, %s, verified by their hashes\n", files, report.Bytes(bytes))
	}
	if err != nil {
		return nil, as(ErrCluster, err)
	}
	cfg := config.Restore(filepath.Join(dir, "run.toml"), &stored)
	for _, p := range []string{cfg.Model.Path, cmp.Or(templateFile(cfg), ".")} {
		if !filepath.IsLocal(filepath.FromSlash(p)) {
			return nil, as(ErrCluster, fmt.Errorf("the run's configuration names the path %q", p))
		}
	}
	for _, s := range cfg.Data.Source {
		for _, p := range slices.Concat(s.Path, s.Heldout) {
			if !filepath.IsLocal(filepath.FromSlash(p)) {
				return nil, as(ErrCluster, fmt.Errorf("the run's configuration names the path %q", p))
			}
		}
	}
	return cfg, cfg.Override(overrides, []string{"device.", "memory.checkpointing", "cluster.upload_limit"}) // and validate
}

// follow makes steps until the run ends.
func (t *Trainer) follow(ctx context.Context, ui UI) error {
	last := time.Now()
	for t.Done < t.corpus.Steps {
		if ctx.Err() != nil {
			return as(ErrInterrupted, fmt.Errorf("left the run after step %d; join again with the same line", t.Done))
		}
		r, err := t.Step(ctx)
		switch {
		case errors.Is(err, step.ErrCaughtUp):
			ui.printf(" caught up at step %d\n", t.Done)
			continue
		case errors.Is(err, context.Canceled):
			continue
		case err != nil:
			if e := (*worker.EndedError)(nil); errors.As(err, &e) && !e.Finished {
				err = errors.Join(err, t.machines.LeaveRun())
			}
			return err
		}
		t.recent.remember(r)
		if ui.Record != nil {
			ui.Record(r)
		}
		if r.Step == 1 || r.Step%max(1, t.cfg.Log.Every) == 0 || t.cfg.OuterSteps() > 0 || time.Since(last) > 10*time.Second ||
			r.Step == r.Steps {
			last = time.Now()
			ui.printf(" step %5d/%d  loss %.4f  %d rows here  %.2f s, %.2f s for others  %s sent\n", r.Step, r.Steps, float64(r.Loss),
				r.Exchange.Rows, r.Seconds, r.Exchange.Exposed, report.Bytes(r.Exchange.SentBytes))
		}
	}
	return t.machines.Member().Wait(ctx)
}

// ended turns the coordinator's word into the worker's.
func ended(err error) error {
	var e *worker.EndedError
	switch {
	case err == nil, errors.As(err, &e) && e.Finished:
		return nil
	case errors.As(err, &e):
		return as(ErrInterrupted, fmt.Errorf("%s\n  join again with the same line when it goes on", e.Text))
	case errors.Is(err, context.Canceled):
		return as(ErrInterrupted, errors.New("left the run; join again with the same line"))
	case errors.Is(err, worker.ErrLost), errors.Is(err, worker.ErrBanned), errors.Is(err, transport.ErrProof):
		return as(ErrCluster, err)
	}
	return classify(err)
}

// workFolder is where a machine keeps its things of the run with this authority; of
// several processes on one machine each has its own.
func workFolder(dir string, ca [32]byte, warn io.Writer) (path string, release func(), err error) {
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", nil, DataError(err)
		}
		release, err := rundir.Occupy(dir, warn)
		return dir, release, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	base := filepath.Join(cache, "concord", "workers", hex.EncodeToString(ca[:6]))
	for n := 1; n < 1000; n++ {
		path := fmt.Sprintf("%s-%d", base, n)
		if err := os.MkdirAll(path, 0o700); err != nil {
			return "", nil, DataError(err)
		}
		if release, err := rundir.Occupy(path, warn); err == nil {
			return path, release, nil
		}
	}
	return "", nil, DataError(fmt.Errorf("%s-1 … are all in use", base))
}

// printf shows a line unless the user asked for quiet.
func (ui UI) printf(format string, args ...any) {
	if !ui.Quiet {
		out := ui.Out
		if out == nil {
			out = io.Discard
		}
		fmt.Fprintf(out, format, args...)
	}
}
