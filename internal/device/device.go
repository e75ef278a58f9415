// Package device opens the adapter that a run file asks for and lays a model's
// parameters out on it, for training and for inference.
package device

import (
	"fmt"
	"io"

	"concord/bucket"
	"concord/gpu"
	"concord/internal/config"
	"concord/internal/fault"
	"concord/internal/model"
	"concord/internal/param"
	"concord/tensor"
)

// Open opens the adapter that the configuration asks for. choices are the kernel
// variants of an earlier part of the run, nil to choose anew. Warnings of the device
// go to warn.
func Open(d config.Device, choices map[string]string, warn io.Writer) (*tensor.Engine, error) {
	if d.GEMM != "" {
		if err := tensor.CheckVariant(d.GEMM); err != nil {
			return nil, &config.Error{Where: "device.gemm", Msg: err.Error(), Fix: `gemm = ""  # choose by measurement`}
		}
	}
	dev, err := gpu.Open(gpu.Options{
		Adapter: d.Adapter, Backend: d.Backend, MemoryBudget: int64(d.Memory), ReadDeadline: d.ReadTimeout.Duration(),
		Log: func(s string) { fmt.Fprintln(warn, "concord:", s) },
	})
	if err != nil {
		return nil, fault.Device(err)
	}
	return tensor.NewEngine(dev, tensor.Options{NoAutotune: !d.Autotune, CacheDir: d.CacheDir, Variant: d.GEMM, Choices: choices}), nil
}

// Params lists the model's parameters for the bucket layout.
func Params(c model.Config) []bucket.Param {
	specs := model.ParamSpecs(c)
	out := make([]bucket.Param, len(specs))
	for i, s := range specs {
		out[i] = bucket.Param{Spec: s}
	}
	return out
}

// NewStore lays the parameters out in buckets of a scope, for gradient rows of so many
// tasks, and allocates the weights and the other states named, all zeros.
func NewStore(e *tensor.Engine, params []bucket.Param, scope string, tasks int, states ...bucket.State) (*bucket.Store, error) {
	return NewTypedStore(e, params, scope, tasks, nil, states...)
}

// NewTypedStore is NewStore of states of other element types than float32.
func NewTypedStore(e *tensor.Engine, params []bucket.Param, scope string, tasks int, types bucket.Types, states ...bucket.State) (*bucket.Store, error) {
	lim := e.Dev.Info().Limits
	layout, err := bucket.Partition(params, scope, bucket.Limits{Objectives: tasks, BindingBytes: lim.MaxStorageBufferBindingSize, BufferBytes: lim.MaxBufferSize})
	if err != nil {
		return nil, fault.Device(err)
	}
	s, err := bucket.NewTypedStore(e, layout, types, states...)
	if err != nil {
		return nil, fault.Device(err)
	}
	return s, nil
}

// LogitsChunk is how many tokens' logits exist at one time. On a CPU 4 MiB of
// them are enough for the GEMM and small next to the activations; on a GPU each
// chunk reads the whole head again, so they may take a 32nd of the budget, and
// at most the 128 MiB that NewLinearCrossEntropy allows.
func LogitsChunk(dev *gpu.Device, vocab int) int {
	bytes := int64(4 << 20)
	if dev.Info().Type != gpu.CPU {
		bytes = max(bytes, min(dev.Memory().Budget/32, 128<<20))
	}
	return max(64, int(bytes/4)/vocab/64*64)
}

// Frozen says which of the parameters are not trained: the base of an adapter, and what
// the run file freezes.
func Frozen(m config.Model, s model.Spec) bool { return s.Frozen || m.Frozen(s.Name) }

// BaseType is the element type in which the frozen parameter s lies where the run's base
// model lies as name, "" for float32: embeddings and head, which have outliers and are
// few, take 8 bits where the others take 4, and vectors stay float32.
func BaseType(name string, s model.Spec) (tensor.DType, error) {
	if name == "" || s.Kind.Vector() {
		return tensor.F32, nil
	}
	d, err := tensor.ParseDType(name)
	if d == tensor.NF4 && s.Kind != param.Linear {
		d = tensor.Int8
	}
	return d, err
}

// SetBase gives the frozen ones of params the type of name, see BaseType.
func SetBase(params []bucket.Param, name string) (err error) {
	for i := range params {
		if p := &params[i]; p.Frozen {
			if p.Type, err = BaseType(name, p.Spec); err != nil {
				return err
			}
		}
	}
	return nil
}

// LoadWeights reads a Hugging Face folder into w.
func LoadWeights(e *tensor.Engine, c model.Config, w model.Weights, dir string) error {
	return blame(e, model.Load(e, dir, c, w))
}

// LoadAdapter reads the adapter in dir, whose configuration is c's, into w.
func LoadAdapter(e *tensor.Engine, c model.Config, w model.Weights, dir string) error {
	return blame(e, model.LoadAdapter(e, dir, c, w))
}

// blame says of an error whether the device failed or the files are wrong.
func blame(e *tensor.Engine, err error) error {
	switch {
	case err == nil:
		return nil
	case e.Dev.Err() != nil:
		return fault.Device(err)
	}
	return fault.Data(err)
}

// Floats waits for a read of one row of float32 values.
func Floats(r *gpu.Readback) ([]float32, error) {
	b, err := r.Wait()
	if err != nil {
		return nil, err
	}
	return tensor.Unpack(b, 1, len(b)/4, len(b)/4), nil
}
