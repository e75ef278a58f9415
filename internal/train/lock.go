package train

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"concord/internal/config"
	"concord/internal/modeldir"
	"concord/internal/rundir"
	"concord/internal/safetensors"
)

// lock pins the files and settings that a run is made from. It is written at the start and checked by
// resume. Files are known by their content and by their names in the run file, so
// that a project may move.
type lock struct {
	Version Version        `json:"version"`
	RunFile string         `json:"run_file"`           // absolute, as it was at the start
	Near    string         `json:"run_file_from_here"` // the same, relative to the run's folder, with slashes; "" on another drive
	Config  *config.Config `json:"config"`
	// Files are SHA-256 by name: the path as the run file has it.
	Files map[string]string `json:"files"`
	Sizes map[string]int64  `json:"sizes"` // bytes, by name
	// Weights are the SHA-256 of the base model's weights by file, where they stay: of a
	// run with an adapter, or with frozen parameters.
	Weights map[string]string `json:"weights,omitempty"`
	// Absent are the names of optional files that were not there: one that comes later
	// would change how the run reads its data.
	Absent []string `json:"absent,omitempty"`
}

// newLock pins cfg and the files that it names, for the run in dir.
func newLock(cfg *config.Config, dir string) (lock, error) {
	l := lock{Version: BuildVersion(), RunFile: mustAbs(cfg.Path()), Config: cfg, Files: map[string]string{}, Sizes: map[string]int64{}}
	l = l.stand(dir)
	for _, f := range inputFiles(cfg) {
		if _, done := l.Files[f.name]; done {
			continue
		}
		if f.optional && !exists(f.path) {
			l.Absent = append(l.Absent, f.name)
			continue
		}
		hash, size, err := hashFile(f.path)
		if err != nil {
			return l, DataError(err)
		}
		l.Files[f.name], l.Sizes[f.name] = hash, size
	}
	var err error
	l.Weights, err = hashWeights(cfg)
	return l, err
}

// stand is l with the place of the run file as seen from dir.
func (l lock) stand(dir string) lock {
	l.Near = ""
	if near, err := filepath.Rel(mustAbs(dir), l.RunFile); err == nil {
		l.Near = filepath.ToSlash(near)
	}
	return l
}

// write stores l in dir atomically.
func (l lock) write(dir string) error {
	b, err := json.MarshalIndent(l, "", " ")
	if err == nil {
		err = safetensors.WriteFile(filepath.Join(dir, rundir.LockFile), b)
	}
	if err != nil {
		return DataError(fmt.Errorf("cannot write to %s: %w", dir, err))
	}
	return nil
}

// readLock reads a run folder's lock.
func readLock(dir string) (lock, error) {
	var l lock
	path := filepath.Join(dir, rundir.LockFile)
	b, err := os.ReadFile(path)
	if err != nil && !rundir.IsRun(dir) { // there is none, or dir is a file
		return l, rundir.NotARun(dir)
	}
	if err != nil {
		return l, DataError(err)
	}
	if err := json.Unmarshal(b, &l); err != nil || l.Config == nil {
		return l, DataError(fmt.Errorf("%s: not a lock file of this program: %v", path, err))
	}
	for _, f := range inputFiles(config.Restore(l.RunFile, l.Config)) { // locks once had absolute paths for names
		if hash, ok := l.Files[mustAbs(f.path)]; ok && l.Files[f.name] == "" {
			delete(l.Files, mustAbs(f.path))
			l.Files[f.name] = hash
		}
	}
	return l, nil
}

// inputFile is a file that decides the steps of a run: its name in the run file and
// its present path.
type inputFile struct {
	name, path string
	optional   bool
}

// inputFiles lists the files that decide the steps of a run with cfg. Their number
// and order depend on the sources' alone.
func inputFiles(cfg *config.Config) []inputFile {
	out := baseFiles(cfg)
	for _, s := range cfg.Data.Source {
		for _, name := range slices.Concat(s.Path, s.Heldout) {
			out = append(out, inputFile{name: name, path: cfg.Resolve(name)})
		}
	}
	return out
}

// baseFiles are the model's part of inputFiles. The base model's weights are not among
// them: a checkpoint has its own, or lock.Weights knows them.
func baseFiles(cfg *config.Config) []inputFile {
	var out []inputFile
	folder := baseFolder(cfg)
	for i, f := range modeldir.Files {
		name := filepath.ToSlash(filepath.Join(cfg.Model.Path, f))
		out = append(out, inputFile{name: name, path: filepath.Join(folder, f), optional: i >= modeldir.Required})
	}
	if name := templateFile(cfg); name != "" {
		out = append(out, inputFile{name: name, path: cfg.Resolve(name)})
	}
	return append(out, adapterFiles(cfg)...)
}

// hashFile is the SHA-256 and the size of the file at path.
func hashFile(path string) (hash string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return "", 0, fmt.Errorf("%s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}
