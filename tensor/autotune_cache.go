package tensor

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"concord/gpu"
	"concord/shaders"
)

// tuneCache is the part of the cache file that concerns one device. The file is
// {"kernels": HASH, "devices": {DEVICE: {SHAPE CLASS: VARIANT}}}. After the variant comes, where
// the measurement had to do with less memory than it wanted, how many bytes it had. It only saves
// time: an unreadable or outdated one counts as empty and is written anew, and a
// failure to write is not an error.
type tuneCache struct {
	path    string // "" = keep in memory only
	device  string
	choices map[string]string
}

type tuneFile struct {
	Kernels string                       `json:"kernels"`
	Devices map[string]map[string]string `json:"devices"`
}

// deviceKey names the things that a measurement depends on.
func deviceKey(i gpu.AdapterInfo) string {
	return fmt.Sprintf("%s | %s | %s", i.Name, i.Driver, i.Backend)
}

// kernelsHash changes when a matmul kernel does: its old timings are void then.
func kernelsHash() string {
	h := fnv.New64a()
	names := map[string]bool{"splitk_reduce": true}
	for _, v := range variants {
		names[v.kernel], names[v.kernelT] = true, v.kernelT != ""
	}
	for _, name := range shaders.Names() {
		if names[name] {
			src, _ := shaders.Source(name) // listed, so it exists
			h.Write([]byte(src))
		}
	}
	return fmt.Sprintf("%016x", h.Sum64())
}

func openTuneCache(dir, device string) *tuneCache {
	c := &tuneCache{device: device, choices: map[string]string{}}
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return c
		}
		dir = filepath.Join(base, "concord")
	}
	c.path = filepath.Join(dir, "matmul.json")
	for class, v := range c.load().Devices[device] {
		c.choices[class] = v
	}
	return c
}

// load reads the file; a file that it cannot use counts as empty.
func (c *tuneCache) load() tuneFile {
	empty := tuneFile{Kernels: kernelsHash(), Devices: map[string]map[string]string{}}
	b, err := os.ReadFile(c.path)
	if err != nil {
		return empty
	}
	var f tuneFile
	if json.Unmarshal(b, &f) != nil || f.Kernels != empty.Kernels || f.Devices == nil {
		return empty
	}
	return f
}

// get is the variant of a class, and whether a measurement in room bytes would be of twice the size or more.
func (c *tuneCache) get(class string, room int64) (variant string, larger bool) {
	variant, cut := entry(c.choices[class])
	return variant, cut > 0 && room/2 >= cut
}

// entry is the variant of a value in the file, "" if it cannot be read, and the memory that its measurement had,
// 0 for enough.
func entry(value string) (variant string, cut int64) {
	variant, bytes, was := strings.Cut(value, " ")
	cut, err := strconv.ParseInt(bytes, 10, 64)
	if was && (err != nil || cut <= 0) {
		return "", 0
	}
	return variant, cut
}

// put records a choice, measured in cut bytes if not 0, and writes the file, keeping the other choices that
// other processes have added since it was read, and theirs of this class where it had more memory.
func (c *tuneCache) put(class, variant string, cut int64) {
	value := variant
	if cut > 0 {
		value += " " + strconv.FormatInt(cut, 10)
	}
	c.choices[class] = value
	if c.path == "" {
		return
	}
	f := c.load()
	if f.Devices[c.device] == nil {
		f.Devices[c.device] = map[string]string{}
	}
	theirs, had := entry(f.Devices[c.device][class])
	if _, err := parseVariant(theirs, "NN"); err == nil && cut > 0 && (had == 0 || had > cut) {
		return
	}
	f.Devices[c.device][class] = value
	if b, err := json.MarshalIndent(f, "", "  "); err == nil {
		writeCache(c.path, append(b, '\n'))
	}
}

// writeCache replaces path in one step, so that a reader sees the old file or
// the new one. Errors leave the old one: the cache is a convenience.
func writeCache(path string, b []byte) {
	dir := filepath.Dir(path)
	if os.MkdirAll(dir, 0o755) != nil {
		return
	}
	tmp, err := os.CreateTemp(dir, ".matmul-*")
	if err != nil {
		return
	}
	_, err = tmp.Write(b)
	if cerr := tmp.Close(); err != nil || cerr != nil || os.Rename(tmp.Name(), path) != nil {
		os.Remove(tmp.Name())
	}
}
