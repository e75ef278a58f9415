package modeldir

import (
	"fmt"
	"os"
	"path/filepath"

	"concord/internal/fault"
	"concord/internal/gguf"
	"concord/internal/model"
	"concord/internal/safetensors"
)

// ggufVersion is part of the name of a folder made of a GGUF file: it changes whenever
// the same file makes other files.
const ggufVersion = 1

// Folder is the folder with the small files of the model at path: path itself, or, for
// a GGUF file, one in the user's cache that is made of the file's metadata once. The
// weights stay in the file. Processes may ask for one at the same time.
func Folder(path string) (string, error) {
	if !model.IsGGUF(path) {
		return path, nil
	}
	f, err := gguf.Open(path)
	if err != nil {
		return "", fault.Data(err)
	}
	defer f.Close()
	if model.IsGGUFAdapter(f) {
		return "", fault.Data(fmt.Errorf("%s is an adapter without its base model\n  fix: give the folder that concord import makes of it "+
			"with --base", path))
	}
	key, err := f.Hash(model.GGUFSettings)
	if err != nil {
		return "", fault.Data(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	folder := filepath.Join(cache, "concord", "gguf", fmt.Sprintf("%s-%d", key[:32], ggufVersion))
	if _, err := os.Stat(filepath.Join(folder, model.ConfigFile)); err == nil {
		return folder, nil
	}
	if err := makeFolder(f, folder); err != nil {
		return "", fault.Data(fmt.Errorf("%s: its small files: %w", path, err))
	}
	return folder, nil
}

// Config reads the configuration of the model at path (see Find).
func Config(path string) (model.Config, error) {
	s, err := Find(path)
	return s.Config, err
}

// makeFolder makes the folder of f, all or nothing.
func makeFolder(f *gguf.File, folder string) error {
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(filepath.Dir(folder), ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp) // after the rename there is nothing left to remove
	if err := WriteGGUFFiles(f, temp); err != nil {
		return err
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return err
	}
	if err := os.Rename(temp, folder); err != nil {
		if _, made := os.Stat(filepath.Join(folder, model.ConfigFile)); made == nil { // by another process
			return nil
		}
		return err
	}
	return nil
}

// WriteGGUFFiles writes f's metadata of a model as the small files of a folder.
func WriteGGUFFiles(f *gguf.File, dir string) error {
	g, err := model.ReadGGUF(f)
	if err != nil {
		return err
	}
	files, err := f.TokenizerFiles()
	if err != nil {
		return err
	}
	if files[model.ConfigFile], err = g.Config.JSON(g.DType()); err != nil {
		return err
	}
	for name, data := range files {
		if err := safetensors.WriteFile(filepath.Join(dir, name), data); err != nil {
			return err
		}
	}
	return nil
}
