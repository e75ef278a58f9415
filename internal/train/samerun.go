package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"concord/internal/cluster/protocol"
	"concord/internal/cluster/store"
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
	key, then, now, err := difference(config.Restore(l.RunFile, l.Config), cfg, outerOnly)
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
	differs, err := unlike(w, cfg, own, exchanged)
	if err == nil && differs != "" {
		err = fmt.Errorf("the machine that leads the run %q has %s\n  fix: start all machines with the same run file and data; "+
			"another run under the same coordinator needs another run.name", cfg.Run.Name, differs)
	}
	return as(ErrCluster, err)
}

// runKey is where a store that several projects may share keeps the settings and files that the run of a name
// is made from.
const runKey = "run"

// claim notes in a store the settings and files that the run is made from, or refuses to go on with a run of the
// same name that is made from something else: it is another project's, and this machine
// would come to lead it and set its record back. own is as a worker would be told it.
func claim(ctx context.Context, st store.Store, cfg *config.Config, own protocol.Welcome) error {
	b, err := json.Marshal(own)
	if err != nil {
		return err
	}
	for {
		there, rev, err := st.Get(ctx, runKey)
		if err != nil {
			return as(ErrCluster, err)
		}
		if rev == 0 {
			if _, err := st.Put(ctx, runKey, b, 0); !errors.Is(err, store.ErrConflict) {
				return as(ErrCluster, err)
			}
			continue // another machine was faster
		}
		var w protocol.Welcome
		if err := json.Unmarshal(there, &w); err != nil {
			return as(ErrCluster, fmt.Errorf("the store's record of the run %q: %w", cfg.Run.Name, err))
		}
		differs, err := unlike(w, cfg, own.Files, outerOnly)
		if err == nil && differs != "" {
			err = fmt.Errorf("etcd has another run of the name %[1]q already: it has %[2]s\n  fix: give this one another run.name; where "+
				"that one is over, delete its record: etcdctl del --prefix /concord/%[1]s/", cfg.Run.Name, differs)
		}
		return as(ErrCluster, err)
	}
}

// unlike says in which setting or file the run that another machine told of differs from this machine's, "" where
// it does not. of picks the part of [cluster] that counts.
func unlike(w protocol.Welcome, cfg *config.Config, own []protocol.File, of func(*config.Config) config.Cluster) (string, error) {
	var theirs config.Config
	if err := json.Unmarshal(w.Config, &theirs); err != nil {
		return "", fmt.Errorf("the run's configuration: %w", err)
	}
	key, there, here, err := difference(&theirs, cfg, of)
	if err != nil || key != "" {
		return fmt.Sprintf("%s = %s, this machine %s", report.Printable(key), report.Printable(there), here), err
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
		return fmt.Sprintf("another %s than this machine", name), nil
	}
	return "", nil
}

// resumable are the settings that a resume may change, in which runs that are the same may
// differ. Of [cluster] see outerOnly and exchanged.
var resumable = []string{"eval.every", "eval.last", "eval.patience", "eval.min_gain", "checkpoint.", "log.",
	"device.", "memory.checkpointing", "cluster.", "model.save_dtype"}

// outerOnly is the one setting of [cluster] that cannot change when a run is continued.
func outerOnly(c *config.Config) config.Cluster { return config.Cluster{Outer: c.OuterSteps()} }

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
	p.Cluster = of(c)
	p.Memory = config.Memory{} // the same bits with and without checkpointing; the choice of fit stands elsewhere
	out := map[string]string{}
	for _, v := range p.Values() {
		if config.Among(v.Key, resumable) && !strings.HasPrefix(v.Key, "cluster.") {
			continue
		}
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
