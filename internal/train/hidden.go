package train

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"path/filepath"

	"concord/internal/config"
	"concord/internal/data"
	"concord/tensor"
)

// Hidden is the hidden states of a run file's held-out examples under one
// model: each example's residual stream, averaged over the positions that
// predict a supervised token.
type Hidden struct {
	Langs  []string
	Seen   []bool
	Labels []int         // language of each example
	States [][][]float64 // by layer (0 is the embedding), example and dimension
	Text   uint64        // hash of all token ids, the same for the same examples
}

// HiddenStates runs the held-out examples, at most limit of each language,
// evenly spread, through the model in dir (a Hugging Face folder, a run's folder
// or "" for the run file's base model).
func HiddenStates(ctx context.Context, cfg *config.Config, dir string, limit int, ui UI) (*Hidden, error) {
	if dir == "" {
		dir = cfg.Resolve(cfg.Model.Path)
	}
	dir, err := ModelDir(dir)
	if err != nil {
		return nil, err
	}
	cp := *cfg
	cp.Model.Path, cp.Model.Init = mustAbs(dir), "pretrained"
	c, err := openCorpus(&cp)
	if err != nil {
		return nil, err
	}
	h := &Hidden{}
	var examples []data.Examples
	for i, set := range c.sets {
		if set.Heldout.Len() == 0 {
			continue
		}
		h.Langs, h.Seen = append(h.Langs, set.Lang), append(h.Seen, c.seen[i])
		examples = append(examples, data.Spread(set.Heldout, limit))
	}
	if len(examples) < 2 {
		return nil, DataError(errors.New("languages can only be told apart where two or more have held-out examples\n  fix: give the sources heldout or holdout"))
	}
	batches, err := data.NewEvaluation(examples, cfg.Batch.Rows, cfg.Batch.SeqLen)
	if err != nil {
		return nil, DataError(err)
	}
	inf, err := openInference(dir, cfg.Device, cfg.Batch.Rows, cfg.Batch.SeqLen, ui.warn())
	if err != nil {
		return nil, err
	}
	defer inf.Close()
	return h, h.collect(ctx, inf, batches)
}

func (h *Hidden) collect(ctx context.Context, inf *inference, batches *data.Evaluation) error {
	b := inf.model.NewBatch()
	defer b.Release()
	text := fnv.New64a()
	h.States = make([][][]float64, inf.config.Layers+1)
	for i := range batches.Len() {
		batch := batches.Batch(i)
		if batch.Err != nil {
			return DataError(batch.Err)
		}
		if ctx.Err() != nil {
			return as(ErrInterrupted, errors.New("analysis interrupted; nothing was changed"))
		}
		if err := b.Upload(evalTokens(batch, inf.model.Dims().Objectives)); err != nil {
			return DataError(err)
		}
		if err := binary.Write(text, binary.LittleEndian, batch.IDs); err != nil {
			return err
		}
		docs := documents(batch)
		for _, d := range docs {
			h.Labels = append(h.Labels, batch.Lang[d[0]/batch.SeqLen])
		}
		var failed error
		inf.model.ForwardEach(b, func(layer int, x tensor.Tensor) {
			if failed == nil {
				failed = h.pool(inf.engine, layer, x, batch, docs)
			}
		})
		if failed != nil {
			return classify(failed)
		}
	}
	h.Text = text.Sum64()
	return nil
}

// documents lists the batch's examples that have a supervised token.
func documents(b *data.Batch) [][2]int {
	var out [][2]int
	for i := 0; i < len(b.IDs); i = int(b.DocEnd[i]) {
		for j := i; j < int(b.DocEnd[i]); j++ {
			if b.Labels[j] != data.Ignore {
				out = append(out, [2]int{i, int(b.DocEnd[i])})
				break
			}
		}
	}
	return out
}

// pool adds each example's mean state of one layer.
func (h *Hidden) pool(e *tensor.Engine, layer int, x tensor.Tensor, b *data.Batch, docs [][2]int) error {
	v, err := e.Download(x)
	if err != nil {
		return err
	}
	for _, d := range docs {
		mean, n := make([]float64, x.C), 0.0
		for t := d[0]; t < d[1]; t++ {
			if b.Labels[t] == data.Ignore {
				continue
			}
			n++
			for k := range mean {
				mean[k] += float64(v[t*x.C+k])
			}
		}
		for k := range mean {
			mean[k] /= n
		}
		h.States[layer] = append(h.States[layer], mean)
	}
	return nil
}

// RunConfig is the configuration that the run in dir was started with.
func RunConfig(dir string) (*config.Config, error) {
	l, err := readLock(dir)
	if err != nil {
		return nil, err
	}
	return l.find(dir, "")
}

// IsRun says that dir is the folder of a run.
func IsRun(dir string) bool { return exists(filepath.Join(dir, lockFile)) }
