package train

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"concord/bucket"
	"concord/internal/config"
	"concord/internal/gguf"
	"concord/internal/model"
	"concord/internal/safetensors"
)

// Weights that stay as they are in the base model's files are in no checkpoint, and
// another machine has them from these files too.

// loadKept loads the weights that a checkpoint, and another machine's state, do not have.
func (t *Trainer) loadKept() error {
	if !t.cfg.KeepsBase() {
		return nil
	}
	return t.loadModel()
}

// loadAll loads the weights and the state of the checkpoint at path, and those that it
// does not have.
func (t *Trainer) loadAll(path string, s state) error {
	err := t.loadKept()
	if err == nil && t.cfg.KeepsBase() {
		err = t.sameKept(path)
	}
	if err != nil {
		return err
	}
	return t.restore(path, s)
}

// sameKept compares the frozen weights of a checkpoint that has some, as they once had,
// with those that loadKept has loaded: later checkpoints leave them out.
func (t *Trainer) sameKept(path string) error {
	f, err := safetensors.Open(filepath.Join(path, tensorsFile))
	if err != nil {
		return DataError(err)
	}
	defer f.Close()
	for _, s := range model.ParamSpecs(t.Arch) {
		saved := string(bucket.Weight) + "/" + s.Name
		if _, ok := f.Tensor(saved); !ok || !frozen(t.cfg, s) || t.cfg.Adapted() && !s.Frozen { // or the adapter's own
			continue
		}
		then, err := f.ReadFloat32(saved)
		if err != nil {
			return DataError(err)
		}
		now, err := t.Store.Read(bucket.Weight, s.Name)
		if err != nil {
			return classify(err)
		}
		if !slices.Equal(then, now) {
			return DataError(fmt.Errorf("the weights in %s have changed since the run was started: its frozen %s was another; "+
				"restore the file or start a new run", t.cfg.Resolve(t.cfg.Model.Path), s.Name))
		}
	}
	return nil
}

// keptWeights reads weights of the base model's files, which it opens when it is asked for
// the first.
type keptWeights struct {
	cfg    *config.Config
	config model.Config // of the model
	values func(name string) ([]float32, error)
	file   io.Closer
}

func (k *keptWeights) read(name string) ([]float32, error) {
	if k.values == nil {
		if err := k.open(k.cfg.Resolve(k.cfg.Model.Path)); err != nil {
			return nil, err
		}
	}
	return k.values(name)
}

func (k *keptWeights) open(path string) error {
	switch {
	case k.cfg.Model.Init == config.InitRandom:
		return errors.New("the run's frozen weights are random ones that are in no file: only the model of its end has them")
	case model.IsGGUF(path):
		f, err := gguf.Open(path)
		if err != nil {
			return err
		}
		k.file = f
		g, err := model.ReadGGUF(f)
		if err != nil {
			return err
		}
		k.values = g.Values
		return nil
	}
	f, err := safetensors.Open(path)
	if err != nil {
		return err
	}
	k.file = f
	r, err := model.NewReader(f, path, k.config)
	if err != nil {
		return err
	}
	k.values = r.Values
	return nil
}

func (k *keptWeights) close() {
	if k.file != nil {
		k.file.Close()
	}
}
