package train

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"concord/internal/config"
	"concord/internal/report"
)

// find is the configuration of the run in dir with the paths at which its files
// are now. They are looked for beside the run file that is given, or else where
// the run file lies as seen from dir, or else where it was at the start. A file
// with other content than at the start is an error that names it.
func (l lock) find(dir, given string) (*config.Config, error) {
	return l.search(dir, given, inputFiles)
}

// findBase is find for the base model alone.
func (l lock) findBase(dir, given string) (*config.Config, error) {
	return l.search(dir, given, baseFiles)
}

func (l lock) search(dir, given string, needed func(*config.Config) []inputFile) (*config.Config, error) {
	var first error
	for _, place := range l.places(dir, given) {
		cfg := config.Restore(place, l.Config)
		err := l.check(cfg, needed)
		if errors.Is(err, fs.ErrNotExist) && l.follow(cfg) {
			if again := l.check(cfg, needed); !errors.Is(again, fs.ErrNotExist) {
				err = again
			}
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return cfg, err
		}
		if first == nil {
			first = err
		}
	}
	return nil, DataError(fmt.Errorf("the run needs the files that it was started with: %w\n  fix: put it back; or write its "+
		"new path into the run file, then: %s --run-file FILE", first, report.Command("resume", dir)))
}

// places are the paths at which the run file may be.
func (l lock) places(dir, given string) []string {
	if given != "" {
		return []string{given}
	}
	var out []string
	if l.Near != "" {
		out = append(out, filepath.Join(dir, filepath.FromSlash(l.Near)))
	}
	if len(out) == 0 || mustAbs(out[0]) != l.RunFile {
		out = append(out, l.RunFile)
	}
	return out
}

// check compares the files that cfg needs with those of the start.
func (l lock) check(cfg *config.Config, needed func(*config.Config) []inputFile) error {
	names, done := needed(config.Restore(cfg.Path(), l.Config)), map[inputFile]bool{}
	for i, f := range needed(cfg) {
		if slices.Contains(l.Absent, names[i].name) && exists(f.path) {
			return DataError(fmt.Errorf("%s was not there when the run was started, and would change it: remove it or start a new run", f.path))
		}
		want, pinned := l.Files[names[i].name]
		one := inputFile{name: want, path: f.path} // two sources may have come to one file
		if !pinned || done[one] {                  // not pinned: by a version that did not know the file
			continue
		}
		done[one] = true
		hash, _, err := hashFile(f.path)
		if err != nil {
			return DataError(err)
		}
		if hash != want {
			return DataError(fmt.Errorf("%s has changed since the run was started: resuming would mix two data sets; restore the "+
				"file or start a new run", f.path))
		}
	}
	return l.checkWeights(cfg)
}

// follow changes the paths in cfg for files that are not there: first to those of
// the run file as it is now, then to a file of equal content in the same folder.
// It reports whether anything changed.
func (l lock) follow(cfg *config.Config) bool {
	cfg.Data.Source = slices.Clone(cfg.Data.Source)
	changed := false
	now, err := config.Load(cfg.Path(), nil)
	if err == nil && len(now.Data.Source) == len(cfg.Data.Source) {
		cfg.Model.Path = now.Model.Path
		if now.Adapter.From != "" && cfg.Adapter.From != "" {
			cfg.Adapter.From = now.Adapter.From
		}
		if templateFile(now) != "" && templateFile(cfg) != "" {
			cfg.Data.Template = now.Data.Template
		}
		for i, s := range now.Data.Source {
			old := &cfg.Data.Source[i]
			if len(s.Path) == len(old.Path) && len(s.Heldout) == len(old.Heldout) {
				old.Path, old.Heldout = s.Path, s.Heldout
			}
		}
		changed = true
	}
	for i := range cfg.Data.Source {
		s := &cfg.Data.Source[i]
		for _, names := range []*config.Paths{&s.Path, &s.Heldout} {
			*names = slices.Clone(*names)
			for j, name := range *names {
				if path, ok := l.twin(cfg, name); ok {
					(*names)[j], changed = path, true
				}
			}
		}
	}
	return changed
}

// twin finds, for a file that is not there, one of the same content in its folder.
func (l lock) twin(cfg *config.Config, name string) (path string, ok bool) {
	want, pinned := l.Files[name]
	if name == "" || !pinned || exists(cfg.Resolve(name)) {
		return "", false
	}
	folder := filepath.Dir(cfg.Resolve(name))
	entries, _ := os.ReadDir(folder) // no folder, no twin
	for _, e := range entries {
		st, err := e.Info()
		if err != nil || !st.Mode().IsRegular() || st.Size() != l.Sizes[name] {
			continue
		}
		path := filepath.Join(folder, e.Name())
		if hash, _, err := hashFile(path); err == nil && hash == want {
			return mustAbs(path), true
		}
	}
	return "", false
}

// moved is l with the places of cfg, for the next resume.
func (l lock) moved(cfg *config.Config, dir string) lock {
	old := inputFiles(config.Restore(cfg.Path(), l.Config))
	files, sizes, absent := map[string]string{}, map[string]int64{}, []string(nil)
	for i, f := range inputFiles(cfg) {
		if slices.Contains(l.Absent, old[i].name) {
			absent = append(absent, f.name)
		}
		if hash, ok := l.Files[old[i].name]; ok {
			files[f.name], sizes[f.name] = hash, l.Sizes[old[i].name]
		}
	}
	c := *l.Config
	c.Model.Path, c.Adapter.From, c.Data.Template, c.Data.Source = cfg.Model.Path, cfg.Adapter.From, cfg.Data.Template, cfg.Data.Source
	l.RunFile, l.Config, l.Files, l.Sizes, l.Absent = mustAbs(cfg.Path()), &c, files, sizes, absent
	return l.stand(dir)
}
