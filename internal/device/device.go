// Package device opens the adapter that is asked for and lays a model's
// parameters out on it, for training and for inference.
package device

import (
	"fmt"
	"io"
	"time"

	"concord/bucket"
	"concord/gpu"
	"concord/internal/fault"
	"concord/internal/model"
	"concord/internal/param"
	"concord/tensor"
)

// Options choose an adapter and say how it is used.
type Options struct {
	Adapter, Backend string // "" is the best
	MemoryBudget     int64  // bytes; 0: most of the device's
	ReadDeadline     time.Duration
	NoAutotune       bool              // the usual matrix kernels, without measuring
	Variant          string            // forces one variant of the matrix product; "" chooses
	CacheDir         string            // of measurements; "" is the user's
	Choices          map[string]string // kernel variants of an earlier part of the run; nil: chosen anew
	Warn             io.Writer         // the device's warnings
}

// CheckVariant refuses a variant of the matrix product that there is not, a *fault.Setting. "" is allowed.
func CheckVariant(name string) error {
	if name == "" {
		return nil
	}
	if err := tensor.CheckVariant(name); err != nil {
		return &fault.Setting{Key: "device.gemm", Msg: err.Error(), Fix: `gemm = ""  # choose by measurement`}
	}
	return nil
}

// Open opens the adapter. Errors are of kind ErrDevice, or a *fault.Setting.
func Open(o Options) (*tensor.Engine, error) {
	if err := CheckVariant(o.Variant); err != nil {
		return nil, err
	}
	dev, err := gpu.Open(gpu.Options{
		Adapter: o.Adapter, Backend: o.Backend, MemoryBudget: o.MemoryBudget, ReadDeadline: o.ReadDeadline,
		Log: func(s string) { fmt.Fprintln(o.Warn, "concord:", s) },
	})
	if err != nil {
		return nil, fault.Device(err)
	}
	return tensor.NewEngine(dev, tensor.Options{NoAutotune: o.NoAutotune, CacheDir: o.CacheDir, Variant: o.Variant, Choices: o.Choices}), nil
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
func NewStore(e *tensor.Engine, params []bucket.Param, scope bucket.Scope, tasks int, states ...bucket.State) (*bucket.Store, error) {
	return NewTypedStore(e, params, scope, tasks, nil, states...)
}

// NewTypedStore is NewStore of states of other element types than float32.
func NewTypedStore(e *tensor.Engine, params []bucket.Param, scope bucket.Scope, tasks int, types bucket.Types,
	states ...bucket.State) (*bucket.Store, error) {
	lim := e.Dev.Info().Limits
	layout, err := bucket.Partition(params, scope, bucket.Limits{Objectives: tasks, BindingBytes: lim.MaxStorageBufferBindingSize,
		BufferBytes: lim.MaxBufferSize})
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

// Base says in which element type a parameter lies that is not trained; nil is float32.
// own says that float32 is meant, and not the type of the trained parameters.
type Base func(model.Spec) (d tensor.DType, own bool)

// BaseOf is a base of type d: embeddings and head, which have outliers and are few, take
// 8 bits where the others take 4, and vectors stay float32.
func BaseOf(d tensor.DType) Base {
	return func(s model.Spec) (tensor.DType, bool) {
		switch {
		case s.Kind.Vector():
			return tensor.F32, false
		case d == tensor.NF4 && s.Kind != param.Linear:
			return tensor.Int8, false
		}
		return d, false
	}
}

// Embedded is base with embeddings and head of type d.
func Embedded(base Base, d tensor.DType) Base {
	return func(s model.Spec) (tensor.DType, bool) {
		if OfVocabulary(s) {
			return d, true
		}
		return base(s)
	}
}

// OfVocabulary says that s is an embedding or the head.
func OfVocabulary(s model.Spec) bool { return s.Kind == param.Embedding || s.Kind == param.Head }

// BaseInFile is a base in the types, and the blocks, of the GGUF file at path.
func BaseInFile(path string) (Base, error) {
	types, err := model.GGUFTypes(path)
	return func(s model.Spec) (tensor.DType, bool) { return types[s.Name], true }, fault.Data(err)
}

// SetBase gives the frozen ones of params their type.
func SetBase(params []bucket.Param, base Base) {
	for i := range params {
		if p := &params[i]; p.Frozen && base != nil {
			p.Type, p.Own = base(p.Spec)
		}
	}
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
