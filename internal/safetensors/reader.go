package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The file names of the Hugging Face layout.
const (
	SingleFile = "model.safetensors"
	IndexFile  = "model.safetensors.index.json"
)

// Reader gives access to the tensors of one file or of a sharded folder.
type Reader struct {
	files   []*os.File
	byFile  map[string]*os.File
	tensors map[string]Info
	meta    map[string]string
}

// Open opens a .safetensors file, an index (*.index.json), or a folder that
// holds model.safetensors or, failing that, model.safetensors.index.json. All
// headers are read and validated, against the files' lengths too.
func Open(path string) (*Reader, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	if st.IsDir() {
		single := filepath.Join(path, SingleFile)
		index := filepath.Join(path, IndexFile)
		if _, err := os.Stat(single); err == nil {
			path = single
		} else if _, err := os.Stat(index); err == nil {
			path = index
		} else {
			return nil, fmt.Errorf("safetensors: %s holds neither %s nor %s: %w", path, SingleFile, IndexFile, fs.ErrNotExist)
		}
	}
	r := &Reader{byFile: map[string]*os.File{}, tensors: map[string]Info{}, meta: map[string]string{}}
	if strings.HasSuffix(path, ".json") {
		err = r.openIndex(path)
	} else {
		err = r.openFile(path, nil)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// openFile adds the tensors of one file. With a weight map, they must be
// exactly the ones it places there.
func (r *Reader) openFile(path string, placed map[string]string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("safetensors: %w", err)
	}
	r.files = append(r.files, f)
	r.byFile[path] = f
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("safetensors: %w", err)
	}
	infos, meta, err := readHeader(f, path, st.Size())
	if err != nil {
		return err
	}
	maps.Copy(r.meta, meta)
	for _, t := range infos {
		if placed != nil && placed[t.Name] != filepath.Base(path) {
			return fmt.Errorf("safetensors: %s: tensor %q is not placed in this file by the index (it says %q)", path, t.Name, placed[t.Name])
		}
		r.tensors[t.Name] = t
	}
	return nil
}

func (r *Reader) openIndex(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("safetensors: %w", err)
	}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(text, &index); err != nil {
		return fmt.Errorf("safetensors: %s: %w", path, err)
	}
	if len(index.WeightMap) == 0 {
		return fmt.Errorf("safetensors: %s has no weight_map", path)
	}
	shards := map[string]bool{}
	for name, file := range index.WeightMap {
		if file == "" || file != filepath.Base(file) || strings.ContainsAny(file, `/\`) {
			return fmt.Errorf("safetensors: %s: tensor %q is placed in %q, which is not a plain file name", path, name, file)
		}
		shards[file] = true
	}
	for _, file := range slices.Sorted(maps.Keys(shards)) {
		if err := r.openFile(filepath.Join(filepath.Dir(path), file), index.WeightMap); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(index.WeightMap)) {
		if _, ok := r.tensors[name]; !ok {
			return fmt.Errorf("safetensors: %s places tensor %q in %s, which does not hold it", path, name, index.WeightMap[name])
		}
	}
	return nil
}

// Close closes the files.
func (r *Reader) Close() error {
	var errs []error
	for _, f := range r.files {
		errs = append(errs, f.Close())
	}
	r.files = nil
	return errors.Join(errs...)
}

// Names lists all tensors in alphabetical order.
func (r *Reader) Names() []string { return slices.Sorted(maps.Keys(r.tensors)) }

// Metadata is the files' __metadata__, merged.
func (r *Reader) Metadata() map[string]string { return r.meta }

// Tensor describes a tensor; false when there is none of that name.
func (r *Reader) Tensor(name string) (Info, bool) {
	t, ok := r.tensors[name]
	return t, ok
}

// ReadFloat32 reads a tensor of type F32, F16 or BF16. Other types are refused
// by name. The values are not checked: see CheckFinite.
func (r *Reader) ReadFloat32(name string) ([]float32, error) {
	t, ok := r.tensors[name]
	if !ok {
		return nil, fmt.Errorf("safetensors: no tensor %q", name)
	}
	if !t.DType.convertible() {
		return nil, fmt.Errorf("safetensors: %s: tensor %q has dtype %s: only F32, F16 and BF16 can be read", t.File, name, t.DType)
	}
	out := make([]float32, t.Elements())
	width := bits[t.DType] / 8
	const chunk = 1 << 18 // elements per read
	buf := make([]byte, min(chunk, len(out))*width)
	for at := 0; at < len(out); at += chunk {
		part := out[at:min(at+chunk, len(out))]
		b := buf[:len(part)*width]
		if _, err := r.byFile[t.File].ReadAt(b, t.Begin+int64(at*width)); err != nil {
			return nil, fmt.Errorf("safetensors: %s: tensor %q, bytes %d..%d: %w", t.File, name, t.Begin, t.End, err)
		}
		decode(part, b, t.DType)
	}
	return out, nil
}

// ReadBytes reads a tensor of type U8.
func (r *Reader) ReadBytes(name string) ([]byte, error) {
	t, ok := r.tensors[name]
	if !ok {
		return nil, fmt.Errorf("safetensors: no tensor %q", name)
	}
	if t.DType != U8 {
		return nil, fmt.Errorf("safetensors: %s: tensor %q has dtype %s, not %s", t.File, name, t.DType, U8)
	}
	out := make([]byte, t.Elements())
	if _, err := r.byFile[t.File].ReadAt(out, t.Begin); err != nil {
		return nil, fmt.Errorf("safetensors: %s: tensor %q, bytes %d..%d: %w", t.File, name, t.Begin, t.End, err)
	}
	return out, nil
}
