package bucket

import (
	"unsafe"

	"concord/gpu"
	"concord/tensor"
)

// rowRead is a part of one row's values of one parameter on its way to the host.
type rowRead struct {
	row, at int // index in Rows, element of the group
	n       int
	from    *gpu.Readback
}

// readBytes bounds one read: the device copies larger ones piece by piece and
// would make the backward pass wait.
const readBytes = gpu.ReadPiece

// readValues is readBytes in float32.
var readValues = int(tensor.F32.Elements(readBytes))

// read starts reading p's rows, which stand at element at of the group.
func (r *Resolver) read(p Place, at int, rows []int) (out []rowRead) {
	from, n := r.memory.rows(r, p), p.R*p.LD()
	for k, m := range rows {
		for lo := 0; lo < n; lo += readValues {
			part := min(n-lo, readValues)
			v := gpu.View{Buf: from.Buf, Offset: from.Offset + tensor.F32.Bytes(int64(m*from.Stride+lo)),
				Size: tensor.F32.Bytes(int64(part))}
			out = append(out, rowRead{row: k, at: at + lo, n: part, from: r.store.Engine.Dev.Read(v)})
		}
	}
	return out
}

// withLosses is collect, with the sums of the losses.
func withLosses(reads []rowRead, rows, size int, losses func() ([]float64, error)) ([][]float32, []float64, error) {
	out, err := collect(reads, rows, size)
	if err != nil {
		return nil, nil, err
	}
	all, err := losses()
	return out, all, err
}

// collect waits for reads and lays them out as vectors of the group.
func collect(reads []rowRead, rows, size int) ([][]float32, error) {
	out := make([][]float32, rows)
	for k := range out {
		out[k] = make([]float32, size)
	}
	for _, x := range reads {
		b, err := x.from.Wait()
		if err != nil {
			return nil, err
		}
		copy(out[x.row][x.at:x.at+x.n], floats(b))
	}
	return out, nil
}

// floats views bytes of the device as its values; all systems that WebGPU runs
// on are little-endian.
func floats(b []byte) []float32 {
	if len(b) == 0 {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), tensor.F32.Elements(int64(len(b))))
}

func bytesOf(x []float32) []byte {
	if len(x) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), tensor.F32.Bytes(int64(len(x))))
}

// gradientOf reads group i's gradient, combined as s says.
func (r *Resolver) gradientOf(i int, s Solution) ([]float32, error) {
	reads, size := r.readCombined(i, s)
	out, err := collect(reads, 1, size)
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// readGradient starts reading a group's combined gradient, of so many values.
func (r *Resolver) readGradient(u ResolveGroup) (reads []rowRead, size int) {
	for _, b := range u.Buckets {
		reads = append(reads, r.readParts(r.store.Flat(Gradient, b).View(), size)...)
		size += r.store.Layout.Buckets[b].Size
	}
	return reads, size
}

// readParts starts reading v, whose values stand at element at of their group.
func (r *Resolver) readParts(v gpu.View, at int) (reads []rowRead) {
	n := int(tensor.F32.Elements(v.Size))
	for lo := 0; lo < n; lo += readValues {
		part := min(n-lo, readValues)
		reads = append(reads, rowRead{at: at + lo, n: part,
			from: r.store.Engine.Dev.Read(gpu.View{Buf: v.Buf, Offset: v.Offset + tensor.F32.Bytes(int64(lo)),
				Size: tensor.F32.Bytes(int64(part))})})
	}
	return reads
}
