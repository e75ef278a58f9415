package train

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"concord/internal/cluster/protocol"
	"concord/internal/config"
	"concord/internal/report"
	"concord/internal/rundir"
)

// Equal machines start a run and continue it with one command: the files and settings that the run is made
// from are compared with those that it was started with, and with those that the leader
// has.

// continues refuses a run file or data that differ from those of the run that is in its
// folder already, as a resume refuses them.
func continues(cfg *config.Config) error {
	dir := cfg.OutDir()
	if !rundir.IsRun(dir) {
		return nil
	}
	l, err := readLock(dir)
	if err != nil {
		return err
	}
	outer := func(c *config.Config) config.Cluster { return config.Cluster{Outer: c.OuterSteps()} }
	key, then, now, err := difference(config.Restore(l.RunFile, l.Config), cfg, outer)
	if err != nil {
		return DataError(err)
	}
	if key != "" {
		return &config.Error{Where: cfg.Where(key), Fix: "set it back; or for a new run another run.name",
			Msg: fmt.Sprintf("the run in %s was started with %s = %s, not %s: it cannot change in the middle of a run", dir, key, then, now)}
	}
	return l.check(cfg, inputFiles)
}

// agrees refuses to work for a leader whose run is made from something else than this
// machine's; own are the files that this machine would give to others.
func agrees(w protocol.Welcome, cfg *config.Config, own []protocol.File) error {
	const fix = "start all machines with the same run file and data; another run under the same coordinator needs another run.name"
	var leads config.Config
	if err := json.Unmarshal(w.Config, &leads); err != nil {
		return as(ErrCluster, fmt.Errorf("the run's configuration: %w", err))
	}
	key, theirs, mine, err := difference(&leads, cfg, exchanged)
	if err != nil {
		return as(ErrCluster, err)
	}
	if key != "" {
		return as(ErrCluster, fmt.Errorf("the machine that leads the run %q has %s = %s, this one %s\n  fix: %s",
			cfg.Run.Name, report.Printable(key), report.Printable(theirs), mine, fix))
	}
	for i := range max(len(own), len(w.Files)) {
		if i < len(own) && i < len(w.Files) && own[i].Hash == w.Files[i].Hash {
			continue
		}
		name := "a file"
		if i < len(own) {
			name = own[i].Name
		} else if i < len(w.Files) {
			name = report.Printable(w.Files[i].Name)
		}
		return as(ErrCluster, fmt.Errorf("the machine that leads the run %q has another %s than this one\n  fix: %s", cfg.Run.Name, name, fix))
	}
	return nil
}

// exchanged are the settings of [cluster] that decide how machines compute a step
// together; the others are each machine's own.
func exchanged(c *config.Config) config.Cluster {
	x := c.Cluster
	return config.Cluster{Wire: x.Format(), Slice: x.Slice, Resolve: x.Resolve, Sync: x.Sync, Outer: x.Outer,
		OuterLR: x.OuterLR, OuterMoment: x.OuterMoment}
}

// difference is the first key in which two configurations are of different runs, with
// its values as JSON, "" where they are of one: but for files' places and for the settings that a
// resume may change. of picks the part of [cluster] that counts.
func difference(a, b *config.Config, of func(*config.Config) config.Cluster) (key, inA, inB string, err error) {
	x, err := comparable(a, of)
	if err != nil {
		return "", "", "", err
	}
	y, err := comparable(b, of)
	if err != nil {
		return "", "", "", err
	}
	keys := slices.Concat(slices.Collect(maps.Keys(x)), slices.Collect(maps.Keys(y)))
	slices.Sort(keys)
	for _, k := range keys {
		if x[k] != y[k] {
			return k, x[k], y[k], nil
		}
	}
	return "", "", "", nil
}

// comparable are the settings of c by key, as JSON, without those that difference leaves out.
func comparable(c *config.Config, of func(*config.Config) config.Cluster) (map[string]string, error) {
	p := portable(c)
	for i := range p.Data.Source {
		s := &p.Data.Source[i]
		s.Path, s.Heldout = make(config.Paths, len(s.Path)), make(config.Paths, len(s.Heldout))
	}
	p.Eval.Every, p.Eval.Last, p.Model.SaveDtype = 0, false, ""
	none := config.Config{}
	p.Checkpoint, p.Log, p.Cluster = none.Checkpoint, none.Log, of(c)
	p.Memory = none.Memory // the same bits with and without checkpointing; the choice of fit stands elsewhere
	out := map[string]string{}
	for _, v := range p.Values() {
		b, err := json.Marshal(v.Value)
		if err != nil {
			return nil, err
		}
		if text := string(b); text != "null" && text != "[]" && text != "{}" {
			out[v.Key] = text
		}
	}
	return out, nil
}
