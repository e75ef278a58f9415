package train

import (
	"context"

	"concord/internal/config"
	"concord/internal/data"
	"concord/internal/infer"
	"concord/internal/rundir"
)

// HiddenStates runs the held-out examples, at most limit of each language,
// evenly spread, through the model in dir (a Hugging Face folder, a run's folder
// or "" for the run file's base model).
func HiddenStates(ctx context.Context, cfg *config.Config, dir string, limit int, ui UI) (*infer.Hidden, error) {
	if dir == "" {
		dir = cfg.Resolve(cfg.Model.Path)
	}
	dir, err := rundir.ModelDir(dir)
	if err != nil {
		return nil, err
	}
	cp := *cfg
	cp.Model.Path, cp.Model.Init = mustAbs(dir), config.InitPretrained
	c, err := OpenCorpus(&cp)
	if err != nil {
		return nil, err
	}
	o := infer.HiddenOptions{Rows: cfg.Batch.Rows, SeqLen: cfg.Batch.SeqLen, Device: DeviceOptions(cfg.Device, ui.warn())}
	for i, set := range c.Sets {
		if set.Heldout.Len() == 0 {
			continue
		}
		o.Langs, o.Seen = append(o.Langs, set.Lang), append(o.Seen, c.Seen[i])
		o.Examples = append(o.Examples, data.Spread(set.Heldout, limit))
	}
	h, err := infer.HiddenStates(ctx, dir, o)
	return h, located(cfg, err)
}

// RunConfig is the configuration that the run in dir was started with.
func RunConfig(dir string) (*config.Config, error) {
	l, err := readLock(dir)
	if err != nil {
		return nil, err
	}
	return l.find(dir, "")
}
