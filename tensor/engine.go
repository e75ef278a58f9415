// Package tensor holds matrices in GPU buffers and the operations of a
// decoder-only transformer's training step on them, forward and backward.
//
// There is no autograd tape: an operation and its backward are two methods of
// Engine, side by side in one file, one WGSL kernel each. Methods record work
// on the device's command stream and return at once; errors are sticky and
// surface at gpu.Device.Err, gpu.Device.Sync or gpu.Readback.Wait. A shape mismatch is a
// programmer error and panics with both shapes. An Engine is used by one
// goroutine at a time. Start reading at MatMul (matmul.go).
package tensor

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"concord/gpu"
	"concord/shaders"
)

// maxGroups is WebGPU's limit of workgroups per grid dimension.
const maxGroups = 65535

// Engine runs operations on one device.
type Engine struct {
	Dev     *gpu.Device
	kernels map[string]*gpu.Kernel
	tune    *tuner // GEMM choice, see autotune.go
	cpu     bool   // see CPU
	// workLimit bounds call.work of products and attention, which are cut to it;
	// 0 = the device's MaxWork. For tests.
	workLimit int64
}

// NewEngine returns an engine on dev. The engine does not own dev.
func NewEngine(dev *gpu.Device, opt Options) *Engine {
	e := &Engine{Dev: dev, kernels: map[string]*gpu.Kernel{}}
	e.cpu = dev != nil && dev.Info().Type == gpu.CPU && !opt.TreatAsGPU
	e.tune = newTuner(e, opt)
	return e
}

// CPU says whether kernels, and the sizes of their grids, are chosen for a
// software rasterizer instead of a GPU.
func (e *Engine) CPU() bool { return e.cpu }

// Tensor is an (R, C) row-major matrix in a GPU buffer, of float32 (or uint32)
// unless DType says otherwise: an operation takes other types only where its
// comment says so. Row r starts r*LD elements after Offset. LD is a multiple of 4,
// and of the type's block; columns C..LD-1 are padding, which holds zeros and which
// every operation keeps zero. A vector has R = 1. Copying a Tensor copies the
// reference, not the data.
type Tensor struct {
	Buf    *gpu.Buffer
	Offset int64 // bytes, a multiple of 256
	R, C   int
	LD     int // elements
	DType  DType
}

// Bytes is the extent of the tensor in its buffer.
func (t Tensor) Bytes() int64 { return t.DType.extent(int64(t.R) * int64(t.LD)) }

// View is the byte range of a tensor of float32 or uint32, as a kernel binding. It
// panics for other types, which a kernel would take for float32: they reach kernels
// by the operations that decode them.
func (t Tensor) View() gpu.View {
	if t.DType != F32 {
		panic(fmt.Sprintf("tensor: %v %v where only f32 is computed with", t.DType, t))
	}
	return t.RawView()
}

// RawView is the byte range of a tensor of any type, to copy it.
func (t Tensor) RawView() gpu.View { return gpu.View{Buf: t.Buf, Offset: t.Offset, Size: t.Bytes()} }

func (t Tensor) String() string { return fmt.Sprintf("(%d,%d)", t.R, t.C) }

// TaskGrads is where the task gradients of one parameter go: M matrices of shape (R, C),
// one per objective (language), matrix m at element m*Stride after Offset.
// A plain gradient is the case M = 1. LD as in Tensor.
type TaskGrads struct {
	Buf    *gpu.Buffer
	Offset int64 // bytes, a multiple of 256
	M      int
	Stride int // elements between objectives, a multiple of 64
	R, C   int
	LD     int
}

// View is the byte range from objective 0's first element to objective M-1's last.
func (r TaskGrads) View() gpu.View {
	return gpu.View{Buf: r.Buf, Offset: r.Offset, Size: f32Bytes(int64(r.M-1)*int64(r.Stride) + int64(r.R)*int64(r.LD))}
}

// Objective is objective m's matrix alone.
func (r TaskGrads) Objective(m int) Tensor {
	return Tensor{Buf: r.Buf, Offset: r.Offset + f32Bytes(int64(m)*int64(r.Stride)), R: r.R, C: r.C, LD: r.LD}
}

// Segments cuts the N token rows of a batch into M consecutive ranges, one per
// objective: objective m owns tokens Starts[m] .. Starts[m+1]-1 (may be empty).
// Plain training is the case of one segment.
type Segments struct {
	Starts []int  // M+1 entries, ascending, Starts[0] = 0
	Dev    Tensor // the same as (1, M+1) uint32 on the device
}

// M is the number of objectives.
func (s Segments) M() int { return len(s.Starts) - 1 }

// NewSegments uploads starts.
func (e *Engine) NewSegments(role gpu.Role, starts []int) Segments {
	t := e.New(role, "segments", 1, len(starts))
	u := make([]uint32, len(starts))
	for i, s := range starts {
		u[i] = uint32(s)
	}
	e.UploadU32(t, u)
	return Segments{Starts: slices.Clone(starts), Dev: t}
}

// New allocates a zeroed (r, c) tensor with LD = c rounded up to 4. When the
// budget or the device refuses, the device's sticky error is set and the
// returned tensor must not be used.
func (e *Engine) New(role gpu.Role, label string, r, c int) Tensor {
	return e.NewTyped(role, label, F32, r, c)
}

// NewTyped is New for elements of type d, with LD = d.LD(c). A block type holds
// zeros too.
func (e *Engine) NewTyped(role gpu.Role, label string, d DType, r, c int) Tensor {
	ld := d.LD(c)
	return Tensor{Buf: e.Dev.NewBuffer(role, label, d.extent(int64(r)*int64(ld))), R: r, C: c, LD: ld, DType: d}
}

// Upload writes data, R*C values in row-major order, into t, rounded to the
// nearest values of its type.
func (e *Engine) Upload(t Tensor, data []float32) {
	if len(data) != t.R*t.C {
		panic(fmt.Sprintf("tensor: upload of %d values into %v", len(data), t))
	}
	data = pad(data, t.R, t.C, t.LD)
	if t.DType == F32 {
		e.Dev.Write(t.View(), byteView(data))
		return
	}
	e.Dev.Write(t.RawView(), t.DType.Encode(data))
}

// UploadBlocks writes the blocks of a file, of t's type and row-major, into t, whose
// rows are whole blocks.
func (e *Engine) UploadBlocks(t Tensor, blocks []byte) {
	if !t.DType.OfFile() || t.C != t.LD || int64(len(blocks)) != t.DType.Bytes(int64(t.R)*int64(t.C)) {
		panic(fmt.Sprintf("tensor: upload of %d bytes of blocks into %v %v", len(blocks), t.DType, t))
	}
	if n := t.Bytes() - int64(len(blocks)); n > 0 {
		blocks = append(slices.Clip(blocks), make([]byte, n)...)
	}
	e.Dev.Write(t.RawView(), blocks)
}

// UploadU32 is Upload for ids, labels and indices.
func (e *Engine) UploadU32(t Tensor, data []uint32) {
	if len(data) != t.R*t.C || t.DType != F32 {
		panic(fmt.Sprintf("tensor: upload of %d values into %v", len(data), t))
	}
	e.Dev.Write(t.View(), byteView(pad(data, t.R, t.C, t.LD)))
}

// Download waits for all recorded work and returns t's R*C values as float32.
func (e *Engine) Download(t Tensor) ([]float32, error) {
	if t.DType.OfFile() {
		out := e.New(gpu.RoleScratch, "decoded blocks", t.R, t.C)
		defer out.Buf.Release()
		e.Convert(out, t)
		return e.Download(out)
	}
	b, err := e.Dev.Read(t.RawView()).Wait()
	if err != nil {
		return nil, err
	}
	if t.DType == F32 {
		return Unpack(b, t.R, t.C, t.LD), nil
	}
	return unpad(t.DType.Decode(b), t.R, t.C, t.LD), nil
}

// Unpack decodes little-endian float32 rows of stride ld into r*c values.
func Unpack(b []byte, r, c, ld int) []float32 {
	return unpad(F32.Decode(b[:f32Bytes(r*ld)]), r, c, ld)
}

// unpad is the first c of every ld values, of r rows.
func unpad(data []float32, r, c, ld int) []float32 {
	if c == ld {
		return data[:r*c]
	}
	out := make([]float32, 0, r*c)
	for i := range r {
		out = append(out, data[i*ld:i*ld+c]...)
	}
	return out
}

func pad[T float32 | uint32](data []T, r, c, ld int) []T {
	if c == ld {
		return data
	}
	out := make([]T, r*ld)
	for i := range r {
		copy(out[i*ld:i*ld+c], data[i*c:(i+1)*c])
	}
	return out
}

// byteView reinterprets data; every platform WebGPU runs on is little-endian.
func byteView[T float32 | uint32](data []T) []byte {
	if len(data) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&data[0])), f32Bytes(len(data)))
}

// call is one dispatch of a kernel of package shaders.
type call struct {
	kernel string            // file stem
	consts map[string]string // override values
	params any               // struct of uint32, int32, float32 fields in the order of the WGSL struct Params
	binds  []gpu.View        // bindings 1, 2, …
	groups [3]int
	work   int64 // rough cost in float operations, bounds the time of one submit
}

func (e *Engine) run(c call) {
	k := e.kernel(c.kernel, c.consts, c.params)
	if k == nil {
		return // sticky error set
	}
	var p bytes.Buffer
	if err := binary.Write(&p, binary.LittleEndian, c.params); err != nil {
		panic("tensor: " + c.kernel + ": " + err.Error())
	}
	e.Dev.Run(gpu.Dispatch{Kernel: k, Params: p.Bytes(), Binds: c.binds,
		Groups: [3]uint32{uint32(c.groups[0]), uint32(c.groups[1]), uint32(c.groups[2])}, Work: c.work})
}

// kernel compiles on first use. It panics when params does not match the
// kernel's struct Params field by field: that is a programmer error.
func (e *Engine) kernel(name string, consts map[string]string, params any) *gpu.Kernel {
	key := name
	if len(consts) > 0 {
		keys := make([]string, 0, len(consts))
		for k, v := range consts {
			keys = append(keys, k+"="+v)
		}
		slices.Sort(keys)
		key += "[" + strings.Join(keys, ",") + "]"
	}
	if k := e.kernels[key]; k != nil {
		return k
	}
	text := kernelText(key, name, consts, params)
	k := e.Dev.NewKernel(key, text)
	e.kernels[key] = k
	return k
}

// kernelTexts are the texts of kernels by key, for all engines of the process: a run in
// which many engines are opened, as a comparison of methods, spends a tenth of its time on
// them otherwise. They are functions of the key alone.
var kernelTexts sync.Map

// kernelText is the text of the kernel called name with its constants.
func kernelText(key, name string, consts map[string]string, params any) string {
	if text, ok := kernelTexts.Load(key); ok {
		return text.(string)
	}
	src, err := shaders.Source(name)
	if err != nil {
		panic(err.Error())
	}
	if err := matchParams(src, params); err != nil {
		panic("tensor: " + name + ": " + err.Error())
	}
	text, err := shaders.Specialize(name, consts)
	if err != nil {
		panic("tensor: " + err.Error())
	}
	kernelTexts.Store(key, text)
	return text
}

// matchParams compares the Go struct with "struct Params { a: u32, b: f32 }" in src.
func matchParams(src string, params any) error {
	_, body, ok := strings.Cut(src, "struct Params {")
	if !ok {
		return fmt.Errorf("no struct Params in the kernel")
	}
	body, _, _ = strings.Cut(body, "}")
	var want []string
	for line := range strings.Lines(body) {
		line, _, _ = strings.Cut(line, "//")
		for f := range strings.SplitSeq(line, ",") {
			if f = strings.ReplaceAll(strings.TrimSpace(f), " ", ""); f != "" {
				want = append(want, strings.ToLower(f))
			}
		}
	}
	types := map[reflect.Kind]string{reflect.Uint32: "u32", reflect.Int32: "i32", reflect.Float32: "f32"}
	var got []string
	for f := range reflect.TypeOf(params).Fields() {
		got = append(got, strings.ToLower(f.Name)+":"+types[f.Type.Kind()])
	}
	norm := func(s string) string { return strings.ReplaceAll(s, "_", "") }
	if norm(strings.Join(got, ",")) != norm(strings.Join(want, ",")) {
		return fmt.Errorf("params are %v in Go, %v in WGSL", got, want)
	}
	return nil
}

// maxWork is how much work one dispatch may do, see gpu.Device.MaxWork. It varies
// as the device's rate is learned, so the results that are cut by it must not change in bits.
func (e *Engine) maxWork() int64 {
	if e.workLimit > 0 {
		return e.workLimit
	}
	return e.Dev.MaxWork()
}

// moving is the call.work of a kernel that reads and writes so many bytes and
// computes flops: rates are learned from products mostly, and in the time that a
// byte takes, GPUs multiply and add some 10 times; software rasterizers, whose
// memory is that of the CPU, about twice.
func (e *Engine) moving(bytes, flops int64) int64 {
	perByte := int64(10)
	if e.cpu {
		perByte = 2
	}
	return max(flops, perByte*bytes)
}

// grid folds n workgroups over (x, y), as one dimension stops at 65535. The
// kernel's flat index is workgroup_id.x + workgroup_id.y * num_workgroups.x,
// which may exceed n-1: kernels check it.
func grid(n int) [3]int {
	if n <= maxGroups {
		return [3]int{n, 1, 1}
	}
	y := (n + maxGroups - 1) / maxGroups
	return [3]int{(n + y - 1) / y, y, 1}
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
