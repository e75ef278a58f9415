package train

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"concord/bucket"
	"concord/internal/checkpoint"
	"concord/internal/config"
	"concord/internal/model"
	"concord/internal/report"
	"concord/internal/rundir"
	"concord/internal/safetensors"
)

// Export says which model of a run to write, and where.
type Export struct {
	Checkpoint string // "last", "best" (of the evaluations so far), or a step
	Out        string // folder to make; "" = model-step-N in the run's folder
	DType      string // "f32", "f16", "bf16"; "" = as the run would save it
	RunFile    string // the run file's present path, "" = where the run leads to it
}

// Exported is the result of an export.
type Exported struct {
	Model string            `json:"model"`
	Step  int               `json:"step"`
	DType string            `json:"dtype"`
	Type  safetensors.DType `json:"-"` // DType
	// Default is the type that the run would save a whole model as: f32, f16 or bf16.
	Default string `json:"-"`
}

// Write makes the Hugging Face folder of a checkpoint of the run in dir, of a run with an
// adapter the adapter's, as PEFT writes it. The run may be stopped, finished, or going in another process. It needs no device.
func (x Export) Write(dir string) (Exported, error) {
	l, err := readLock(dir)
	if err != nil {
		return Exported{}, err
	}
	cfg, err := l.findBase(dir, x.RunFile)
	if err != nil {
		return Exported{}, err
	}
	for range 3 { // a run that is going may remove the checkpoint that was just found
		var path string
		var step int
		if path, step, err = x.choose(dir); err != nil {
			return Exported{}, err
		}
		out := Exported{Step: step, Model: cmp.Or(x.Out, filepath.Join(dir, fmt.Sprintf("%s-step-%d", rundir.ModelFolder, step)))}
		if err = x.from(path, cfg, &out); !errors.Is(err, fs.ErrNotExist) {
			return out, err
		}
	}
	return Exported{}, err
}

// choose finds the checkpoint that is meant.
func (x Export) choose(dir string) (path string, step int, err error) {
	folder := rundir.Checkpoints(dir)
	path, step, _, err = checkpoint.Latest(folder)
	if err != nil {
		return "", 0, DataError(fmt.Errorf("%w\n  the run saves every checkpoint.every steps, when it is stopped, and on the key "+
			"c in its view", err))
	}
	switch x.Checkpoint {
	case "", "last":
		return path, step, nil
	case "best":
		var s state
		b, err := os.ReadFile(filepath.Join(path, stateFile))
		if err == nil {
			err = json.Unmarshal(b, &s)
		}
		if err != nil {
			return "", 0, DataError(err)
		}
		if step = s.best(); step == 0 {
			return "", 0, DataError(fmt.Errorf("%s has no best checkpoint: nothing was evaluated on the way (eval.every = 0, no "+
				"held-out examples, or checkpoint.best = false)\n  fix: %s", dir, report.Command("export", dir, "--checkpoint", "last")))
		}
	default:
		if step, err = strconv.Atoi(x.Checkpoint); err != nil || step < 0 {
			return "", 0, &config.Error{Where: "--checkpoint", Msg: fmt.Sprintf("%q is not best, last or a step", x.Checkpoint),
				Fix: "--checkpoint last"}
		}
	}
	if path, err = checkpoint.At(folder, step); err != nil {
		return "", 0, DataError(fmt.Errorf("%s has no whole checkpoint of step %d: the newest checkpoint.keep are kept, and the best\n  "+
			"fix: --checkpoint with one of the steps that are there: %s", dir, step, checkpoints(folder)))
	}
	return path, step, nil
}

// checkpoints lists the steps of the checkpoints in folder.
func checkpoints(folder string) string {
	found, _ := filepath.Glob(filepath.Join(folder, "step-*")) // the pattern is fixed
	var steps []string
	for _, f := range found {
		digits, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(f), "step-"), ".")
		if n, err := strconv.Atoi(digits); err == nil {
			steps = append(steps, strconv.Itoa(n))
		}
	}
	return strings.Join(slices.Compact(steps), ", ")
}

// from writes the model of the checkpoint at path to out.Model, all or nothing.
func (x Export) from(path string, cfg *config.Config, out *Exported) error {
	if exists(out.Model) {
		return DataError(fmt.Errorf("%s exists already\n  fix: --out with another folder, or delete it", out.Model))
	}
	base := baseFolder(cfg)
	c, err := model.ReadConfig(base)
	if err != nil {
		return DataError(err)
	}
	if cfg.Adapted() {
		if c.Adapter, err = adapterOf(cfg); err != nil {
			return err
		}
	}
	dtype, err := saveDType(cmp.Or(x.DType, string(cfg.Model.SaveDtype)), c)
	if err != nil {
		return &config.Error{Where: "--dtype", Msg: err.Error(), Fix: "--dtype bf16"}
	}
	whole := c
	whole.Adapter = nil
	if usual, err := saveDType(string(cfg.Model.SaveDtype), whole); err == nil { // else the run would have refused it
		out.Default = strings.ToLower(string(usual))
	}
	r, err := safetensors.Open(filepath.Join(path, tensorsFile))
	if err != nil {
		return DataError(err)
	}
	defer r.Close()
	if err := os.MkdirAll(filepath.Dir(out.Model), 0o755); err != nil {
		return DataError(err)
	}
	temp, err := os.MkdirTemp(filepath.Dir(out.Model), ".export-")
	if err != nil {
		return DataError(err)
	}
	defer os.RemoveAll(temp) // after the rename there is nothing left to remove
	out.DType, out.Type = dtype.Torch(), dtype
	kept := keptWeights{cfg: cfg, config: c}
	defer kept.close()
	err = writeModel(temp, base, c, dtype, func(name string) ([]float32, error) {
		saved := string(bucket.Weight) + "/" + name
		if _, ok := r.Tensor(saved); !ok && cfg.KeepsBase() {
			return kept.read(name)
		}
		return r.ReadFloat32(saved)
	})
	if err == nil {
		err = saveTemplate(cfg, temp)
	}
	if err == nil {
		err = os.Chmod(temp, 0o755)
	}
	if err == nil {
		err = os.Rename(temp, out.Model)
	}
	if err != nil {
		return DataError(fmt.Errorf("cannot write the model: %w", err))
	}
	return nil
}

// saveDType is the element type of a saved model: name's, by default the base
// model's; of an adapter, which is small, float32.
func saveDType(name string, base model.Config) (safetensors.DType, error) {
	switch {
	case name != "":
		return safetensors.ParseDType(name)
	case base.Adapter != nil:
		return safetensors.F32, nil
	}
	return cmp.Or(base.DType, safetensors.F32), nil
}

// writeModel writes the folder of a model with the weights that read returns, or of its
// adapter where it has one.
func writeModel(dir, base string, c model.Config, dtype safetensors.DType, read func(name string) ([]float32, error)) error {
	if c.Adapter != nil {
		return model.WriteAdapter(dir, base, c, dtype, read)
	}
	return model.Write(dir, base, c, dtype, read)
}
