package modeldir

import (
	"fmt"
	"os"
	"path/filepath"

	"concord/internal/fault"
	"concord/internal/model"
	"concord/internal/peft"
)

// Source is the place that a model is read from: a folder, a GGUF file, or the folder of an
// adapter, which leads to its base model.
type Source struct {
	Dir    string // the folder of tokenizer and template
	Base   string // the folder or the GGUF file of the weights
	From   string // the adapter's folder, "" without
	Config model.Config
}

// Find reads the configuration of the model, or of the adapter, at path.
func Find(path string) (Source, error) {
	s := Source{Base: path}
	var a *peft.Config
	var err error
	if peft.Is(path) && !isModel(path) {
		s.From = path
		if a, err = peft.ReadConfig(path); err != nil {
			return s, fault.Data(err)
		}
		if s.Base, err = baseOf(path, a); err != nil {
			return s, fault.Data(err)
		}
	}
	if s.Dir, err = Folder(s.Base); err != nil {
		return s, err
	}
	if !isModel(s.Dir) {
		return s, fault.Data(fmt.Errorf("%s is no model: there is no %s\n  fix: give a model's folder, a run's (runs/NAME) or a GGUF file",
			s.Base, filepath.Join(s.Dir, model.ConfigFile)))
	}
	if s.Config, err = model.ReadConfig(s.Dir); err != nil {
		return s, fault.Data(err)
	}
	if s.From != "" && has(s.From, tokenizerFile) {
		s.Dir = s.From
	}
	s.Config.Adapter = a
	if err := s.Config.CheckAdapter(); err != nil {
		return s, fault.Data(fmt.Errorf("%s: %w", path, err))
	}
	return s, nil
}

// baseOf is the base model of the adapter in dir: as its configuration says, seen from
// the working directory or from dir.
func baseOf(dir string, a *peft.Config) (string, error) {
	for _, base := range []string{a.Base, filepath.Join(dir, a.Base)} {
		if base != "" && (isModel(base) || model.IsGGUF(base)) {
			return base, nil
		}
	}
	return "", fmt.Errorf("%s is an adapter of %q, which is no folder with a %s here\n  fix: write the base model's "+
		"folder into %s as base_model_name_or_path",
		dir, a.Base, model.ConfigFile, filepath.Join(dir, peft.ConfigFile))
}

func isModel(dir string) bool { return has(dir, model.ConfigFile) }

func has(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}
