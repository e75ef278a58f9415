package train

import (
	"path/filepath"

	"concord/internal/chat"
	"concord/internal/config"
	"concord/internal/modeldir"
	"concord/internal/rundir"
)

// BaseModel is the base model of dir, a run, the model's folder in it, or an adapter, as it lies
// now; and the chat template by which the run rendered its data, "" for the model's own. Of a
// model that names no base model, and of a run that began with random weights, there is none.
func BaseModel(dir string) (path, template string, err error) {
	if up := filepath.Dir(filepath.Clean(dir)); !rundir.IsRun(dir) && rundir.IsRun(up) {
		dir = up
	}
	if rundir.IsRun(dir) {
		return baseOfRun(dir)
	}
	s, err := modeldir.Find(dir)
	if err == nil && s.From == "" {
		err = &config.Error{Where: dir, Msg: "neither a run nor an adapter: its base model is not known",
			Fix: "--ab DIR, with the base model's folder"}
	}
	return s.Base, "", err
}

func baseOfRun(dir string) (path, template string, err error) {
	l, err := readLock(dir)
	if err != nil {
		return "", "", err
	}
	cfg, err := l.findBase(dir, "")
	if err != nil {
		return "", "", err
	}
	if cfg.Model.Init == config.InitRandom {
		return "", "", &config.Error{Where: dir, Msg: `the run began with random weights (model.init = "random"): it has no base model`,
			Fix: "--ab DIR, with the folder of another model"}
	}
	if cfg.Data.Template != "" {
		final, err := rundir.ModelDir(dir)
		if err != nil {
			return "", "", err
		}
		template = filepath.Join(final, chat.File) // the run has put it there
	}
	return cfg.Resolve(cfg.Model.Path), template, nil
}
