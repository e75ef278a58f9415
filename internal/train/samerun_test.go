package train

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"concord/internal/cluster/protocol"
	"concord/internal/config"
	"concord/internal/train/traintest"
)

// Equal machines go on with a run only as it was started, and work for a leader only
// that has the same run file and data.
func TestEqualMachinesAreOfOneRun(t *testing.T) {
	cfg := tiny(t, "cluster.listen=127.0.0.1:0", "objective.method=pcgrad")
	if err := continues(cfg); err != nil {
		t.Errorf("a new run: %v", err)
	}
	l, err := newLock(cfg, cfg.OutDir())
	if err != nil {
		t.Fatal(err)
	}
	traintest.WriteFile(t, cfg.OutDir()+"/x", "")
	if err := l.write(cfg.OutDir()); err != nil {
		t.Fatal(err)
	}
	files, _, err := runFiles(cfg)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(portable(cfg))
	if err != nil {
		t.Fatal(err)
	}
	leads := protocol.Welcome{Config: raw, Files: files}
	for _, c := range []struct{ override, lock, leader string }{
		{},
		{override: "checkpoint.every=7"},
		{override: "eval.every=3"},
		{override: "eval.patience=3 eval.min_gain=0.25"},
		{override: "model.save_dtype=f32"},
		{override: "memory.checkpointing=true"},
		{override: "cluster.upload_limit=1MB"},
		{override: "cluster.wire=int8", leader: "cluster.wire"},
		{override: "cluster.slice=1MB", leader: "cluster.slice"},
		{override: "cluster.outer=4", lock: "cluster.outer", leader: "cluster.outer"},
		{override: "optim.lr=0.5", lock: "optim.lr", leader: "optim.lr"},
		{override: "objective.method=mean", lock: "objective.method", leader: "objective.method"},
		{override: "run.seed=99", lock: "run.seed", leader: "run.seed"},
	} {
		now := load(t, cfg.Path(), append([]string{"cluster.listen=127.0.0.1:0", "objective.method=pcgrad"},
			strings.Fields(c.override)...)...)
		var conf *config.Error
		err := continues(now)
		if (err == nil) != (c.lock == "") || err != nil && (!errors.As(err, &conf) || !strings.Contains(conf.Error(), c.lock)) {
			t.Errorf("%q against the run's lock: %v", c.override, err)
		}
		err = agrees(leads, now, files)
		if (err == nil) != (c.leader == "") || err != nil && (!errors.Is(err, ErrCluster) || !strings.Contains(err.Error(), c.leader)) {
			t.Errorf("%q against the leader: %v", c.override, err)
		}
	}
	path := cfg.Resolve("bb.jsonl")
	traintest.WriteFile(t, path, "{\"text\": \"other\"}\n")
	if err := continues(cfg); !errors.Is(err, ErrData) || !strings.Contains(err.Error(), path+" has changed") {
		t.Errorf("edited data against the run's lock: %v", err)
	}
	edited, _, err := runFiles(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := agrees(leads, cfg, edited); !errors.Is(err, ErrCluster) || !strings.Contains(err.Error(), "bb.jsonl") {
		t.Errorf("edited data against the leader: %v", err)
	}
	if err := agrees(leads, cfg, files[:len(files)-1]); !errors.Is(err, ErrCluster) {
		t.Errorf("a file less than the leader: %v", err)
	}
}
