package export

import (
	"fmt"
	"os"
	"path/filepath"

	"concord/internal/fault"
	"concord/internal/model"
	"concord/internal/safetensors"
)

// Folder makes a folder in the Hugging Face layout of the model in From, a folder or a
// GGUF file.
type Folder struct {
	From, Out string
	DType     safetensors.DType // "" = the model's
}

// Write makes the folder, all or nothing, and returns the type of its weights. A folder
// that is there already is refused.
func (x Folder) Write() (safetensors.DType, error) {
	if err := absent(x.Out); err != nil {
		return "", err
	}
	s, err := openSource(x.From)
	if err != nil {
		return "", err
	}
	defer s.close()
	dtype := x.DType
	if dtype == "" {
		dtype = s.config.DType
	}
	if dtype == "" {
		dtype = safetensors.F32
	}
	return dtype, fault.Data(s.write(x.Out, dtype))
}

func (s *source) write(out string, dtype safetensors.DType) error {
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(filepath.Dir(out), ".export-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp) // after the rename there is nothing left to remove
	if err := model.Write(temp, s.folder, s.config, dtype, s.values); err != nil {
		return err
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return err
	}
	return os.Rename(temp, out)
}

// absent refuses a path where there is something already.
func absent(path string) error {
	if _, err := os.Stat(path); err == nil {
		return fault.Data(fmt.Errorf("%s exists already\n  fix: --out with another name, or delete it", path))
	}
	return nil
}
