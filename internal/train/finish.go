package train

import (
	"context"
	"fmt"
	"path/filepath"

	"concord/bucket"
	"concord/internal/checkpoint"
	"concord/internal/config"
	"concord/internal/model"
	"concord/internal/modeldir"
	"concord/internal/report"
	"concord/internal/rundir"
	"concord/internal/tokenizer"
	"concord/tensor"
)

// finish measures, saves and exports the model.
func (x *session) finish(ctx context.Context) (*Summary, error) {
	if x.cfg.Eval.Last && !x.measured() {
		if err := x.measure(ctx); err != nil {
			return nil, x.stopped(ctx, err)
		}
	}
	if err := x.save(ctx); err != nil {
		return nil, err
	}
	out := filepath.Join(x.dir, rundir.ModelFolder)
	if err := x.saveModel(out); err != nil {
		return nil, x.unsaved(classify(err))
	}
	best, err := x.saveBest()
	if err != nil {
		return nil, x.unsaved(classify(err))
	}
	m := x.Engine.Dev.Memory()
	end := report.End{Kind: "end", Steps: x.Done, Seconds: x.state.Seconds, Tokens: x.Tokens, Supervised: x.Supervised, PeakBytes: m.Peak,
		PlannedBytes: x.PlannedPeak(), BytesByRole: map[string]int64{}, Output: out, Best: best,
		Warnings: x.corpus.MeetingWarning(StepsOf(x.cfg)), Conflict: x.report.Conflict()}
	if x.Done < x.corpus.Steps {
		early := x.state.Patience
		end.Early, end.Of = &early, x.corpus.Steps
	}
	for role, r := range m.Roles {
		end.BytesByRole[string(role)] = r.AtPeak
	}
	x.report.End(end)
	return &Summary{Dir: x.dir, Model: out, Before: x.state.Baseline, After: x.state.Last, End: end}, x.unsaved(x.report.Err())
}

// saveBest exports the weights of the best evaluation on the way, where the last
// ones are worse, and returns their folder ("" = the last are the best).
func (x *session) saveBest() (string, error) {
	if x.state.BestStep == 0 || x.state.Last == nil || meanSeen(*x.state.Last) <= x.state.Best {
		return "", nil
	}
	path, err := checkpoint.At(rundir.Checkpoints(x.dir), x.state.BestStep)
	if err != nil {
		return "", nil // lost by an earlier crash; the last model is there
	}
	if err := x.restoreWeights(path); err != nil {
		return "", err
	}
	out := filepath.Join(x.dir, rundir.BestFolder)
	return out, x.saveModel(out)
}

// saveModel writes the model as it stands to the folder out.
func (x *session) saveModel(out string) error {
	dtype, err := saveDType(string(x.cfg.Model.SaveDtype), x.corpus.Model)
	if err != nil {
		return err
	}
	kept := keptWeights{cfg: x.cfg, config: x.corpus.Model}
	defer kept.close()
	if err := writeModel(out, baseFolder(x.cfg), x.corpus.Model, dtype, x.reader(&kept)); err != nil {
		return err
	}
	return saveTemplate(x.cfg, out)
}

// reader reads the weights as they stand, but for those that are frozen and lie in the
// device in fewer bits: those as kept, the base model's files, has them.
func (x *session) reader(kept *keptWeights) func(name string) ([]float32, error) {
	rounded := map[string]bool{}
	if x.cfg.Model.Init != config.InitRandom && !x.cfg.Adapted() {
		for _, p := range x.Store.Layout.Frozen {
			rounded[p.Name] = x.Store.Weight(p.Name).DType != tensor.F32
		}
	}
	return func(name string) ([]float32, error) {
		if rounded[name] {
			return kept.read(name)
		}
		return x.Store.Read(bucket.Weight, name)
	}
}

func (x *session) header() report.Header {
	info := x.Engine.Dev.Info()
	mem := x.Engine.Dev.Memory()
	cfg, steps := x.cfg, x.corpus.Steps
	fill := x.corpus.Sampler.TokensIn(steps) / float64(steps*cfg.Batch.Rows*cfg.Batch.Accumulate*cfg.Batch.SeqLen)
	data := x.corpus.Records()
	epochs := 0.0
	for _, n := range x.corpus.Sampler.Epochs(steps) {
		epochs += n / float64(len(x.Langs))
	}
	name := cfg.Model.Path
	if cfg.Model.Init == config.InitRandom {
		name += " (random weights)"
	}
	bos, eos := specials(x.corpus.Tokenizer)
	stops, _ := modeldir.FindStops(x.corpus.Tokenizer, x.corpus.Template, baseFolder(cfg)) // the corpus was read with these files
	return report.Header{BOS: bos, EOS: eos, ByTemplate: x.corpus.OnlyChats(), Stops: stops.List(),
		Version: BuildVersion().Version, Name: cfg.Run.Name, Dir: x.dir,
		Model: fmt.Sprintf("%s, %d layers, hidden %d, vocabulary %d", name, x.corpus.Model.Layers, x.corpus.Model.Hidden,
			x.corpus.Model.Vocab), Parameters: x.corpus.Model.Parameters(), Trained: trained(cfg, x.corpus.Model),
		Device: info.Name, Backend: string(info.Backend), Software: info.Type == "cpu", Budget: mem.Budget, Planned: x.Planned(),
		Method: string(cfg.Objective.Method), Scope: cfg.Objective.Scope.String(), Buckets: numBuckets(x.Store.Layout),
		Rows: cfg.Batch.Rows * cfg.Batch.Accumulate, SeqLen: cfg.Batch.SeqLen,
		Steps: steps, Start: x.Done, Languages: x.Langs, Epochs: epochs, Packing: fill, Met: x.corpus.Met(), Data: data,
		Warnings: x.corpus.Warnings(StepsOf(cfg), data), Settings: settings(cfg)}
}

// trained is the number of values that a run changes.
func trained(cfg *config.Config, c model.Config) int64 {
	n := int64(0)
	for _, s := range model.ParamSpecs(c) {
		if !frozen(cfg, s) {
			n += int64(s.Size())
		}
	}
	return n
}

// specials are the tokens that begin and end an example, "" where there is none.
func specials(tok *tokenizer.Tokenizer) (bos, eos string) {
	if id, ok := tok.BOS(); ok && tok.AddsBOS() {
		bos, _ = tok.IDToToken(id)
	}
	if id, ok := tok.EOS(); ok {
		eos, _ = tok.IDToToken(id)
	}
	return bos, eos
}

func numBuckets(l bucket.Layout) int {
	if l.Global {
		return 1
	}
	return len(l.Buckets)
}
