package doctor

import (
	"fmt"
	"os"
	"path/filepath"

	"concord/gpu"
)

// Adapter describes an adapter for people and for JSON. Sizes are in bytes.
type Adapter struct {
	Index      int      `json:"index"`
	Name       string   `json:"name"`
	Vendor     string   `json:"vendor"`
	Driver     string   `json:"driver"`
	Backend    string   `json:"backend"`
	Type       string   `json:"type"`
	Software   bool     `json:"software"` // a rasterizer on the CPU, no GPU
	Chosen     bool     `json:"chosen"`   // the adapter that the same flags, or the same [device], open
	Timestamps bool     `json:"timestamps"`
	Features   []string `json:"features"`
	Limits     Limits   `json:"limits"`
}

// Limits are the adapter's limits that matter here.
type Limits struct {
	MaxBufferSize               int64 `json:"max_buffer_size"`
	MaxStorageBufferBindingSize int64 `json:"max_storage_buffer_binding_size"`
	MaxStorageBuffersPerStage   int   `json:"max_storage_buffers_per_shader_stage"`
	MaxWorkgroupStorage         int   `json:"max_compute_workgroup_storage_size"`
	MaxInvocationsPerWorkgroup  int   `json:"max_compute_invocations_per_workgroup"`
	MaxWorkgroupsPerDim         int   `json:"max_compute_workgroups_per_dimension"`
	MinStorageAlign             int   `json:"min_storage_buffer_offset_alignment"`
}

// NewAdapter converts the information of package gpu.
func NewAdapter(i gpu.AdapterInfo) Adapter {
	return Adapter{Index: i.Index, Name: i.Name, Vendor: i.Vendor, Driver: i.Driver, Backend: string(i.Backend), Type: string(i.Type),
		Software: i.Type == gpu.CPU, Timestamps: i.Timestamps, Features: append([]string{}, i.Features...), Limits: Limits(i.Limits)}
}

// Adapters lists the adapters of the backend that o names, or of all that are
// used by default, and marks the one that o opens; budget is the bytes that o
// allows on it. The error is gpu.ErrNoAdapter when there is none, or tells why
// the chosen one does not open; the list is then without a mark.
func Adapters(o gpu.Options) (list []Adapter, budget int64, err error) {
	all, err := gpu.Adapters()
	if err != nil && o.Backend == "" {
		return nil, 0, err
	}
	for _, a := range all {
		if o.Backend == "" || string(a.Backend) == o.Backend {
			a.Index = len(list) // as Open counts
			list = append(list, NewAdapter(a))
		}
	}
	dev, err := gpu.Open(o)
	if err != nil {
		return list, 0, err
	}
	defer dev.Close()
	info := dev.Info()
	if info.Index >= len(list) { // of a backend that must be asked for by name
		list = append(list, NewAdapter(info))
	}
	for i := range list {
		list[i].Chosen = list[i].Index == info.Index
	}
	return list, dev.Memory().Budget, nil
}

// Folder is a folder that runs write to.
type Folder struct {
	Path     string `json:"path"`
	Writable bool   `json:"writable"`
	Error    string `json:"error,omitempty"`
}

// CacheFolder says where measured kernel choices are kept when a run file names
// no other place, and whether they can be: if not, they are measured anew in
// every run. It makes the folder where it does not exist.
func CacheFolder() Folder {
	base, err := os.UserCacheDir()
	if err != nil {
		return Folder{Error: fmt.Sprintf("no cache folder: %v; set device.cache_dir", err)}
	}
	f := Folder{Path: filepath.Join(base, "concord")}
	if err := probe(f.Path); err != nil {
		f.Error = fmt.Sprintf("%v; make it writable or set device.cache_dir", err)
		return f
	}
	f.Writable = true
	return f
}

// probe writes a file in dir and removes it.
func probe(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return err
	}
	_, err = f.WriteString("x")
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if rerr := os.Remove(f.Name()); err == nil {
		err = rerr
	}
	return err
}
