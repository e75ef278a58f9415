// Package infer is the use of a model without training it: likelihoods, texts,
// conversations, hidden states. A folder is a model's or a run's, which stands for its
// final model.
package infer

import (
	"fmt"

	"concord/bucket"
	"concord/internal/device"
	"concord/internal/fault"
	"concord/internal/model"
	"concord/internal/modeldir"
	"concord/internal/rundir"
	"concord/tensor"
)

// Model is a model on a device without anything for training. Not safe for concurrent
// use.
type Model struct {
	Config model.Config
	Engine *tensor.Engine
	Net    model.Model
	store  *bucket.Store
}

// Open loads the model in dir, a folder, an adapter's folder or a GGUF file, for batches of rows × seqLen tokens.
func Open(dir string, d device.Options, rows, seqLen int) (*Model, error) {
	return OpenTyped(dir, nil, d, rows, seqLen)
}

// OpenTyped is Open of an adapter on a base model that lies in the device as base, as a
// run's model.base_type says. Of a model without an adapter all weights are float32.
func OpenTyped(dir string, base device.Base, d device.Options, rows, seqLen int) (*Model, error) {
	s, err := modeldir.Find(dir)
	if err != nil {
		return nil, err
	}
	x := &Model{Config: s.Config}
	if x.Engine, err = device.Open(d); err != nil {
		return nil, err
	}
	if err := x.load(s, base, rows, seqLen); err != nil {
		x.Close()
		return nil, err
	}
	return x, nil
}

// OpenValues is Open of a model that is in no files: of c, with the float32 weights that
// read returns by the names of model.ParamSpecs.
func OpenValues(c model.Config, read func(name string) ([]float32, error), d device.Options, rows, seqLen int) (*Model, error) {
	x := &Model{Config: c}
	var err error
	if x.Engine, err = device.Open(d); err != nil {
		return nil, err
	}
	if err = x.allocate(nil, rows, seqLen); err == nil {
		err = x.upload(read)
	}
	if err != nil {
		x.Close()
		return nil, err
	}
	return x, nil
}

func (x *Model) upload(read func(name string) ([]float32, error)) error {
	for _, s := range model.ParamSpecs(x.Config) {
		v, err := read(s.Name)
		if err != nil {
			return fault.Data(err)
		}
		x.Engine.Upload(x.store.Weight(s.Name), v)
	}
	return fault.Classify(x.Engine.Dev.Err())
}

func (x *Model) load(s modeldir.Source, base device.Base, rows, seqLen int) error {
	if err := x.allocate(base, rows, seqLen); err != nil {
		return err
	}
	if err := device.LoadWeights(x.Engine, x.Config, x.store, s.Base); err != nil || s.Config.Adapter == nil {
		return err
	}
	return device.LoadAdapter(x.Engine, x.Config, x.store, s.From)
}

// allocate makes the weights' memory and the model.
func (x *Model) allocate(base device.Base, rows, seqLen int) (err error) {
	params := device.Params(x.Config)
	device.SetBase(params, base)
	if x.store, err = device.NewStore(x.Engine, params, bucket.ByLayer, 1); err != nil {
		return err
	}
	x.Net, err = model.New(x.Engine, x.Config, x.store, model.Dims{
		Rows: rows, SeqLen: seqLen, LogitsChunk: device.LogitsChunk(x.Engine.Dev, x.Config.Vocab), ForwardOnly: true,
	})
	if err != nil {
		if x.Engine.Dev.Err() != nil {
			return fault.Device(err)
		}
		return fault.Data(err)
	}
	return nil
}

// Close frees the device.
func (x *Model) Close() {
	if x.Net != nil {
		x.Net.Release()
	}
	if x.store != nil {
		x.store.Release()
	}
	x.Engine.Dev.Close()
}

// Score returns, for each sequence of n token ids, the n−1 negative
// log-likelihoods in nats of ids[1:] given the ids before each.
func Score(dir string, sequences [][]uint32, d device.Options) ([][]float32, error) {
	dir, err := rundir.ModelDir(dir)
	if err != nil {
		return nil, err
	}
	longest := 2
	for i, s := range sequences {
		if len(s) < 2 {
			return nil, fault.Data(fmt.Errorf("sequence %d has %d ids: a likelihood needs two", i+1, len(s)))
		}
		longest = max(longest, len(s))
	}
	m, err := modeldir.Find(dir)
	if err != nil {
		return nil, err
	}
	vocab := m.Config.Vocab
	for i, s := range sequences {
		for _, id := range s {
			if int64(id) >= int64(vocab) {
				return nil, fault.Data(fmt.Errorf("sequence %d: id %d is outside 0 … %d, the model's vocabulary", i+1, id, vocab-1))
			}
		}
	}
	x, err := Open(dir, d, 1, longest)
	if err != nil {
		return nil, err
	}
	defer x.Close()
	out := make([][]float32, len(sequences))
	for i, s := range sequences {
		if out[i], err = x.Net.Score(s); err != nil {
			if x.Engine.Dev.Err() != nil {
				return nil, fault.Classify(err)
			}
			return nil, fault.Data(fmt.Errorf("sequence %d: %w", i+1, err))
		}
	}
	return out, nil
}

// decoder makes a key-value cache for so many tokens.
func (x *Model) decoder(tokens int) (*model.Decoder, error) {
	dec, err := x.Net.NewDecoder(tokens)
	if err == nil {
		return dec, nil
	}
	if x.Engine.Dev.Err() != nil {
		return nil, fault.Device(err)
	}
	return nil, fault.Data(fmt.Errorf("%w: a shorter prompt or a lower --max-tokens", err))
}
