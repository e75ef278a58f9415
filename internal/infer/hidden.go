package infer

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"

	"concord/internal/data"
	"concord/internal/device"
	"concord/internal/fault"
	"concord/internal/model"
	"concord/internal/rundir"
	"concord/tensor"
)

// Hidden is the hidden states of examples under one model: each example's residual
// stream, averaged over the positions that predict a supervised token.
type Hidden struct {
	Langs  []string
	Seen   []bool
	Labels []int         // language of each example
	States [][][]float64 // by layer (0 is the embedding), example and dimension
	Text   uint64        // hash of all token ids, the same for the same examples
}

// HiddenOptions say which examples run through a model.
type HiddenOptions struct {
	Langs        []string
	Seen         []bool          // by language: trained on
	Examples     []data.Examples // by language
	Rows, SeqLen int             // of a batch
	Device       device.Options
}

// HiddenStates runs the examples of two languages or more through the model in dir.
func HiddenStates(ctx context.Context, dir string, o HiddenOptions) (*Hidden, error) {
	if len(o.Examples) < 2 {
		return nil, fault.Data(errors.New("languages can only be told apart where two or more have held-out examples\n" +
			"  fix: give the sources heldout or holdout"))
	}
	dir, err := rundir.ModelDir(dir)
	if err != nil {
		return nil, err
	}
	batches, err := data.NewEvaluation(o.Examples, o.Rows, o.SeqLen)
	if err != nil {
		return nil, fault.Data(err)
	}
	m, err := Open(dir, o.Device, o.Rows, o.SeqLen)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	h := &Hidden{Langs: o.Langs, Seen: o.Seen}
	return h, h.collect(ctx, m, batches)
}

func (h *Hidden) collect(ctx context.Context, m *Model, batches *data.Evaluation) error {
	b := m.Net.NewBatch()
	defer b.Release()
	text := fnv.New64a()
	h.States = make([][][]float64, m.Config.Layers+1)
	for i := range batches.Len() {
		batch := batches.Batch(i)
		if batch.Err != nil {
			return fault.Data(batch.Err)
		}
		if ctx.Err() != nil {
			return fault.As(fault.ErrInterrupted, errors.New("analysis interrupted; nothing was changed"))
		}
		if err := b.Upload(Tokens(batch, m.Net.Dims().Objectives)); err != nil {
			return fault.Data(err)
		}
		if err := binary.Write(text, binary.LittleEndian, batch.IDs); err != nil {
			return err
		}
		docs := documents(batch)
		for _, d := range docs {
			h.Labels = append(h.Labels, batch.Lang[d[0]/batch.SeqLen])
		}
		var failed error
		m.Net.ForwardEach(b, func(layer int, x tensor.Tensor) {
			if failed == nil {
				failed = h.pool(m.Engine, layer, x, batch, docs)
			}
		})
		if failed != nil {
			return fault.Classify(failed)
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

// Tokens puts the whole of a batch into the first of m segments: no gradients here.
func Tokens(b *data.Batch, m int) model.Tokens {
	k := model.Tokens{IDs: b.IDs, Labels: b.Labels, Pos: b.Pos, DocStart: b.DocStart, DocEnd: b.DocEnd, Starts: make([]int, m+1)}
	for i := range m {
		k.Starts[i+1] = len(b.IDs)
	}
	return k
}
