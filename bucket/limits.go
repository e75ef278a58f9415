package bucket

import (
	"fmt"
	"math"

	"concord/tensor"
)

// Limits bound a bucket by the device's memory.
type Limits struct {
	Objectives   int   // rows per bucket; 1 when no rows are needed
	BindingBytes int64 // MaxStorageBufferBindingSize: larger parameters are computed with in parts; 0 means no bound
	BufferBytes  int64 // MaxBufferSize bounds one state of a bucket, and a parameter's rows together; 0 means no bound
}

// elements is the size at which buckets that may be cut anywhere are cut.
func (lim Limits) elements() int {
	most := int64(math.MaxInt64)
	if lim.BindingBytes > 0 {
		most = lim.BindingBytes
	}
	if lim.BufferBytes > 0 {
		most = min(most, lim.BufferBytes)
	}
	return int(tensor.F32.Elements(most) / align * align)
}

func (lim Limits) check(b Bucket) error {
	for _, p := range b.Params {
		if err := lim.checkParam(p.Param); err != nil {
			return err
		}
	}
	most := int(tensor.F32.Elements(lim.BufferBytes))
	if lim.BufferBytes <= 0 || b.Size <= most {
		return nil
	}
	fix := "use scope = \"tensor\" or \"global\""
	if mb := tensor.F32.Bytes(int64(most)) >> 20; mb > 0 {
		fix = fmt.Sprintf("use scope = \"tensor\", \"%dMB\" or \"global\"", mb)
	}
	return fmt.Errorf("bucket: the gradient of %q takes %s; the device holds %s in one piece at most: %s",
		b.Name, mib(tensor.F32.Bytes(int64(b.Size))), mib(tensor.F32.Bytes(int64(most))), fix)
}

// checkParam says why a parameter does not fit the device even in a bucket of its
// own, or returns nil.
func (lim Limits) checkParam(p Param) error {
	size := tensor.F32.Bytes(int64(p.Extent()))
	if p.Frozen {
		size = p.Type.Bytes(int64(p.R) * int64(p.Type.LD(p.C)))
	}
	const cannot = "this adapter cannot hold the model: choose one with larger limits ('concord doctor' lists them) or a smaller model"
	m := int64(max(lim.Objectives, 1))
	if p.Single {
		m = 1
	}
	switch {
	case lim.BufferBytes > 0 && size > lim.BufferBytes:
		return fmt.Errorf("bucket: tensor %s (%d,%d) takes %s, but the largest buffer of this adapter has %s: %s", p.Name, p.R, p.C,
			mib(size), mib(lim.BufferBytes), cannot)
	case lim.BufferBytes > 0 && size*m > lim.BufferBytes:
		return fmt.Errorf("bucket: the gradient of tensor %s (%d,%d) takes %s%s, but the largest buffer of this adapter has %s: use "+
			"fewer objectives (at most %d), objective.gram = \"ghost\" for the matrices of layers, or a method that keeps no gradient "+
			"per objective, such as \"mean\", for all or in an [[objective.override]] of this tensor",
			p.Name, p.R, p.C, mib(size), lim.times(), mib(lim.BufferBytes), lim.BufferBytes/size)
	}
	return nil
}

// times is how often a bucket's gradient is held, for messages.
func (lim Limits) times() string {
	if lim.Objectives < 2 {
		return ""
	}
	return fmt.Sprintf(", times %d objectives", lim.Objectives)
}

func mib(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }
