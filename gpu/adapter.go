package gpu

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Backend names the graphics API behind an adapter.
type Backend string

// The backends. GL is used only when asked for by name.
const (
	Vulkan Backend = "vulkan"
	Metal  Backend = "metal"
	DX12   Backend = "dx12"
	GL     Backend = "gl"
)

// AdapterType is the kind of machine that an adapter is.
type AdapterType string

// The adapter types, best first.
const (
	Discrete   AdapterType = "discrete"
	Integrated AdapterType = "integrated"
	Virtual    AdapterType = "virtual"
	Unknown    AdapterType = "unknown"
	CPU        AdapterType = "cpu" // a software rasterizer
)

// Limits are the limits of WebGPU that compute work meets; sizes in bytes.
type Limits struct {
	MaxBufferSize               int64
	MaxStorageBufferBindingSize int64
	MaxStorageBuffersPerStage   int
	MaxWorkgroupStorage         int
	MaxInvocationsPerWorkgroup  int
	MaxWorkgroupsPerDim         int
	MinStorageAlign             int
}

// specLimits are the limits of every WebGPU adapter.
var specLimits = Limits{256 << 20, 128 << 20, 8, 16384, 256, 65535, 256}

// AdapterInfo describes an adapter. Index counts in the order of Adapters.
// Timestamps says that Span measures on the device (see Device.Span).
type AdapterInfo struct {
	Index                int
	Name, Vendor, Driver string
	Backend              Backend
	Type                 AdapterType
	Limits               Limits
	Features             []string
	Timestamps           bool
	vendorID, deviceID   uint32 // PCI ids
}

func (a AdapterInfo) String() string {
	return fmt.Sprintf("%d: %s (%s, %s)", a.Index, a.Name, a.Type, a.Backend)
}

// ErrNoAdapter means that no adapter was found at all. Its text names the driver to install.
var ErrNoAdapter = errors.New(noAdapterText(runtime.GOOS, driverMissing))

func noAdapterText(goos, missing string) string {
	const head = "no GPU adapter found: "
	if missing != "" {
		return head + missing
	}
	switch goos {
	case "darwin":
		return head + "macOS 10.14 or later on a machine with Metal is needed (virtual machines often have none)"
	case "windows":
		return head + "install the GPU vendor's current driver (it brings DX12 and Vulkan)"
	}
	return head + "install a Vulkan driver. Debian/Ubuntu: 'apt-get install libvulkan1 mesa-vulkan-drivers' " +
		"(Intel, AMD, and a software rasterizer that needs no GPU); Fedora: 'dnf install vulkan-loader mesa-vulkan-drivers'; " +
		"NVIDIA: the proprietary driver with its nvidia_icd.json (in a container NVIDIA_DRIVER_CAPABILITIES must contain 'graphics')"
}

// Adapters lists the adapters of the Vulkan, Metal and DX12 backends, in the
// driver's order. None is not an error of the call: it is ErrNoAdapter.
func Adapters() ([]AdapterInfo, error) {
	l := usualDriver().list(bitVulkan | bitMetal | bitDX12)
	defer l.free()
	as := describe(l.all())
	if len(as) == 0 {
		return nil, fmt.Errorf("gpu: %w", ErrNoAdapter)
	}
	return as, nil
}

// quietDisplay keeps Mesa's window-system code, which compute work never needs, from
// complaining on stderr about a session without a display: it looks for a Wayland
// socket in a directory that exists until the returned function is called.
func quietDisplay() func() {
	const name = "XDG_RUNTIME_DIR"
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" || os.Getenv(name) != "" {
		return func() {}
	}
	os.Setenv(name, os.TempDir())
	return func() { os.Unsetenv(name) }
}

func backendBits(name string) (uint32, error) {
	switch Backend(strings.ToLower(name)) {
	case "":
		return bitVulkan | bitMetal | bitDX12, nil
	case Vulkan:
		return bitVulkan, nil
	case Metal:
		return bitMetal, nil
	case DX12:
		return bitDX12, nil
	case GL:
		return bitGL, nil
	}
	return 0, fmt.Errorf("gpu: backend %q is unknown: use vulkan, metal, dx12 or gl", name)
}

func describe(raw []rawAdapter) []AdapterInfo {
	out := make([]AdapterInfo, len(raw))
	for i, r := range raw {
		a := AdapterInfo{Index: i, Backend: backendName(r.backend), Limits: r.limits, vendorID: r.vendorID, deviceID: r.deviceID}
		a.Name, a.Driver = nameAndDriver(r)
		if a.Name == "" {
			a.Name = fmt.Sprintf("%s device %04x:%04x", a.Backend, r.vendorID, r.deviceID)
		}
		if a.Vendor = vendorName(r.vendorID); a.Vendor == "" {
			a.Vendor = sane(r.vendor)
		}
		a.Type = adapterType(r.kind, r.vendorID, a.Name)
		a.Features = featureNames(r.features)
		a.Timestamps = timestampsUsable && slices.Contains(a.Features, "timestamp-query")
		out[i] = a
	}
	return out
}

// timestampsUsable: the libraries for these two targets are a later release, in
// which writing a timestamp outside a pass needs a feature that their header lacks.
var timestampsUsable = !(runtime.GOARCH == "arm64" && (runtime.GOOS == "linux" || runtime.GOOS == "windows"))

// nameAndDriver sorts the driver's strings out. The order that webgpu.h intends is
// vendor, architecture, device (name), description (driver); in some releases of
// the library the fields hold other things: ids in hexadecimal, and the name last.
func nameAndDriver(r rawAdapter) (name, driver string) {
	var rest []string
	for _, s := range []string{r.device, r.description, r.architecture, r.vendor} {
		if s = sane(s); s == "" {
			continue
		}
		if name == "" {
			name = s
		} else if s != name {
			rest = append(rest, s)
		}
	}
	return name, strings.Join(rest, " ")
}

// sane drops a string that is no text for people: an id, or bytes that are not printable.
func sane(s string) string {
	s = strings.TrimSpace(s)
	if _, err := strconv.ParseUint(s, 0, 64); err == nil {
		return ""
	}
	for _, r := range s {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return ""
		}
	}
	return s
}

func backendName(b uint32) Backend {
	switch b { // WGPUBackendType
	case 4:
		return DX12
	case 5:
		return Metal
	case 6:
		return Vulkan
	case 7, 8:
		return GL
	}
	return "unknown"
}

func vendorName(id uint32) string {
	switch id {
	case 0x1002:
		return "AMD"
	case 0x10de:
		return "NVIDIA"
	case 0x8086:
		return "Intel"
	case 0x106b:
		return "Apple"
	case 0x13b5:
		return "ARM"
	case 0x5143:
		return "Qualcomm"
	case 0x1010:
		return "Imagination"
	case 0x1414:
		return "Microsoft"
	case 0x1ae0:
		return "Google"
	case 0x10005:
		return "Mesa"
	}
	return ""
}

func adapterType(kind, vendorID uint32, name string) AdapterType {
	low := strings.ToLower(name)
	for _, s := range []string{"llvmpipe", "lavapipe", "swiftshader", "microsoft basic render", "softpipe"} {
		if strings.Contains(low, s) {
			return CPU
		}
	}
	switch kind { // WGPUAdapterType; the library reports virtual GPUs as unknown
	case 0:
		return Discrete
	case 1:
		return Integrated
	case 2:
		return CPU
	}
	if vendorID == 0x1af4 || strings.Contains(low, "virtio") || strings.Contains(low, "virgl") {
		return Virtual
	}
	return Unknown
}

// featureNames names the features of webgpu.h; native ones stay numbers, as
// their values differ between releases of the library.
func featureNames(ids []uint32) []string {
	names := []string{1: "depth-clip-control", "depth32float-stencil8", "timestamp-query", "texture-compression-bc",
		"texture-compression-etc2", "texture-compression-astc", "indirect-first-instance", "shader-f16",
		"rg11b10ufloat-renderable", "bgra8unorm-storage", "float32-filterable"}
	var out []string
	for _, id := range ids {
		if id > 0 && int(id) < len(names) {
			out = append(out, names[id])
		} else {
			out = append(out, fmt.Sprintf("native-0x%x", id))
		}
	}
	slices.Sort(out)
	return out
}

// choose picks the adapter that want names; "" is the best one.
func choose(as []AdapterInfo, want string) (int, error) {
	if len(as) == 0 {
		return 0, fmt.Errorf("gpu: %w", ErrNoAdapter)
	}
	if want == "" {
		rank := []AdapterType{Discrete, Integrated, Virtual, Unknown, CPU}
		best := slices.MinFunc(as, func(a, b AdapterInfo) int {
			return slices.Index(rank, a.Type) - slices.Index(rank, b.Type)
		})
		return best.Index, nil
	}
	if i, err := strconv.Atoi(want); err == nil && i >= 0 && i < len(as) {
		return i, nil
	}
	for _, a := range as {
		if strings.Contains(strings.ToLower(a.Name), strings.ToLower(want)) {
			return a.Index, nil
		}
	}
	var have []string
	for _, a := range as {
		have = append(have, a.String())
	}
	return 0, fmt.Errorf("gpu: no adapter matches %q: give an index or a part of a name of: %s", want, strings.Join(have, "; "))
}
