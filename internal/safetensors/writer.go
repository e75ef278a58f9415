package safetensors

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
)

// DefaultShard is the size in bytes of tensor data above which WriteModel cuts
// a model into several files.
const DefaultShard = 5 << 30

// Entry is one tensor to write. Data is called once, when its turn comes, so
// that a model is never in host memory as a whole; it returns the values in
// row-major order.
type Entry struct {
	Name  string
	Shape []int
	DType DType // F32, F16 or BF16, to which values are rounded to nearest even; or U8
	Data  func() ([]float32, error)
	Bytes func() ([]byte, error) // in place of Data, of type U8
}

// Write writes entries to path: temporary file, fsync, rename, so that path
// holds either its former content or all of the new. The bytes depend on the
// entries and metadata only, not on their order. __metadata__ gets
// "format": "pt" besides metadata, as other readers expect. A value that
// overflows the type is an error naming the tensor.
func Write(path string, entries []Entry, metadata map[string]string) error {
	return WriteWith(path, func(w io.Writer) error { return encodeFile(w, entries, metadata) })
}

// Encode writes the same bytes to w, for callers that have their own way of
// making a file atomic.
func Encode(w io.Writer, entries []Entry, metadata map[string]string) error {
	if err := encodeFile(w, entries, metadata); err != nil {
		return fmt.Errorf("safetensors: %w", err)
	}
	return nil
}

func encodeFile(w io.Writer, entries []Entry, metadata map[string]string) error {
	entries, err := arrange(entries)
	if err != nil {
		return err
	}
	header, err := encodeHeader(entries, metadata)
	if err != nil {
		return err
	}
	if _, err := w.Write(header); err != nil {
		return err
	}
	var buf []byte
	for _, t := range entries {
		if t.DType == U8 {
			if err := t.copyBytes(w); err != nil {
				return err
			}
			continue
		}
		data, err := t.Data()
		if err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if n := (Info{Shape: t.Shape}).Elements(); len(data) != n {
			panic(fmt.Sprintf("safetensors: write %q: %d values for shape %v", t.Name, len(data), t.Shape))
		}
		for at := 0; at < len(data); at += 1 << 16 {
			buf, err = encode(buf[:0], data[at:min(at+1<<16, len(data))], t.DType)
			if err != nil {
				return fmt.Errorf("tensor %q, from value %d: %w", t.Name, at, err)
			}
			if _, err := w.Write(buf); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyBytes writes an entry of bytes.
func (t Entry) copyBytes(w io.Writer) error {
	b, err := t.Bytes()
	if err != nil {
		return fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	if n := (Info{Shape: t.Shape}).Elements(); len(b) != n {
		panic(fmt.Sprintf("safetensors: write %q: %d bytes for shape %v", t.Name, len(b), t.Shape))
	}
	_, err = w.Write(b)
	return err
}

// WriteModel writes dir/model.safetensors, or, when the data exceed maxShard
// bytes (0 = DefaultShard), model-00001-of-0000N.safetensors and so on with
// model.safetensors.index.json. A model that lies in dir is replaced, and all that is
// left of it is removed at the end. An interrupted save leaves the old model, the
// new one or, where both are in shards, none: the old index goes first and the new
// one comes last, so that a mixture is never loadable.
func WriteModel(dir string, entries []Entry, metadata map[string]string, maxShard int64) error {
	if maxShard == 0 {
		maxShard = DefaultShard
	}
	shards, total, err := cut(entries, maxShard)
	if err != nil {
		return fmt.Errorf("safetensors: %s: %w", dir, err)
	}
	if len(shards) <= 1 {
		if err := Write(filepath.Join(dir, SingleFile), entries, metadata); err != nil {
			return err
		}
		if err := removeStale(filepath.Join(dir, IndexFile)); err != nil {
			return err
		}
		return removeShards(dir, nil)
	}
	if err := removeStale(filepath.Join(dir, IndexFile)); err != nil {
		return err
	}
	if err := syncDir(dir); err != nil {
		return fmt.Errorf("safetensors: %s: %w", dir, err)
	}
	index, err := writeShards(dir, shards, total, metadata)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(index, "", "  ")
	if err != nil {
		return fmt.Errorf("safetensors: %s: %w", dir, err)
	}
	if err := WriteFile(filepath.Join(dir, IndexFile), append(text, '\n')); err != nil {
		return err
	}
	if err := removeStale(filepath.Join(dir, SingleFile)); err != nil {
		return err
	}
	return removeShards(dir, index.WeightMap)
}

// shardIndex is the content of IndexFile.
type shardIndex struct {
	Metadata  map[string]int64  `json:"metadata"`
	WeightMap map[string]string `json:"weight_map"` // tensor to file
}

func writeShards(dir string, shards [][]Entry, total int64, metadata map[string]string) (*shardIndex, error) {
	index := &shardIndex{map[string]int64{"total_size": total}, map[string]string{}}
	for i, shard := range shards {
		file := fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(shards))
		if err := Write(filepath.Join(dir, file), shard, metadata); err != nil {
			return nil, err
		}
		for _, t := range shard {
			index.WeightMap[t.Name] = file
		}
	}
	return index, nil
}

// shardName is how shards are called, here and by the reference writer.
var shardName = regexp.MustCompile(`^model-[0-9]{5}-of-[0-9]{5}\.safetensors$`)

// removeShards removes the shards in dir that are not in the weight map.
func removeShards(dir string, listed map[string]string) error {
	keep := map[string]bool{}
	for _, file := range listed {
		keep[file] = true
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("safetensors: %w", err)
	}
	for _, f := range files {
		if shardName.MatchString(f.Name()) && !keep[f.Name()] {
			if err := removeStale(filepath.Join(dir, f.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func removeStale(path string) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("safetensors: %w", err)
	}
	return nil
}

// WriteFile replaces path by data atomically: temporary file in the same
// folder, fsync, rename.
func WriteFile(path string, data []byte) error {
	return WriteWith(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// cut fills shards of at most maxShard bytes in the order of arrange.
func cut(entries []Entry, maxShard int64) (shards [][]Entry, total int64, err error) {
	entries, err = arrange(entries)
	if err != nil {
		return nil, 0, err
	}
	room := int64(0)
	for _, t := range entries {
		n, err := byteSize(t.DType, t.Shape)
		if err != nil {
			return nil, 0, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if len(shards) == 0 || n > room {
			shards, room = append(shards, nil), maxShard
		}
		last := len(shards) - 1
		shards[last] = append(shards[last], t)
		room -= n
		total += n
	}
	return shards, total, nil
}

// arrange sorts by descending element size, then name, as the reference writer
// does: every tensor is aligned to its element.
func arrange(entries []Entry) ([]Entry, error) {
	entries = slices.Clone(entries)
	slices.SortFunc(entries, func(a, b Entry) int {
		return cmp.Or(-cmp.Compare(bits[a.DType], bits[b.DType]), cmp.Compare(a.Name, b.Name))
	})
	seen := map[string]bool{}
	for _, t := range entries {
		if !t.DType.convertible() && t.DType != U8 {
			return nil, fmt.Errorf("tensor %q: dtype %q cannot be written: use f32, f16 or bf16", t.Name, t.DType)
		}
		if seen[t.Name] || t.Name == "__metadata__" {
			return nil, fmt.Errorf("tensor %q: the name is taken", t.Name)
		}
		seen[t.Name] = true
	}
	return entries, nil
}

// encodeHeader is the length and the JSON, padded with spaces to 8 bytes.
func encodeHeader(entries []Entry, metadata map[string]string) ([]byte, error) {
	meta := map[string]string{"format": "pt"}
	for k, v := range metadata {
		meta[k] = v
	}
	var b bytes.Buffer
	field := func(key string, v any) error {
		k, err := json.Marshal(key)
		if err != nil {
			return err
		}
		val, err := json.Marshal(v) // maps in key order
		if err != nil {
			return err
		}
		if b.Len() > 8+1 {
			b.WriteByte(',')
		}
		b.Write(k)
		b.WriteByte(':')
		b.Write(val)
		return nil
	}
	b.Write(make([]byte, 8))
	b.WriteByte('{')
	if err := field("__metadata__", meta); err != nil {
		return nil, err
	}
	at := int64(0)
	for _, t := range entries {
		n, err := byteSize(t.DType, t.Shape)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		shape := t.Shape
		if shape == nil {
			shape = []int{}
		}
		err = field(t.Name, struct {
			DType   DType    `json:"dtype"`
			Shape   []int    `json:"shape"`
			Offsets [2]int64 `json:"data_offsets"`
		}{t.DType, shape, [2]int64{at, at + n}})
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		at += n
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	if b.Len()-8 > MaxHeader {
		return nil, fmt.Errorf("the header would be %d bytes, over the limit of %d", b.Len()-8, MaxHeader)
	}
	binary.LittleEndian.PutUint64(b.Bytes(), uint64(b.Len()-8))
	return b.Bytes(), nil
}

// WriteWith replaces path by the bytes that fill writes, atomically: see WriteFile.
func WriteWith(path string, fill func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".tmp*")
	if err != nil {
		return fmt.Errorf("safetensors: write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("safetensors: write %s: %w", path, err)
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := fill(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil && runtime.GOOS != "windows" {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename durable. Windows has no such call and needs none.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
