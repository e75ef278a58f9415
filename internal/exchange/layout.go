package exchange

import (
	"errors"
	"fmt"

	"concord/bucket"
	"concord/internal/fault"
	"concord/internal/safetensors"
	"concord/internal/step"
)

// A group's values on the host lie as its buckets do, one after the other, padding
// included; files hold parameters without padding.

// readGroup is the values of a state of group u.
func readGroup(r *step.Replica, s bucket.State, u int) ([]float32, error) {
	b, err := r.Store.ReadGroup(s, u)
	if err != nil {
		return nil, fault.Classify(err)
	}
	return r.Store.Values(s, u, b), nil
}

// setGroup writes values that its type has.
func setGroup(r *step.Replica, s bucket.State, u int, x []float32) {
	r.Store.WriteGroup(s, u, r.Store.Encode(s, u, x))
}

// groupEntries are x, values of group u, by parameter for a file.
func groupEntries(l bucket.Layout, u int, x []float32, name func(param string) string) (out []safetensors.Entry) {
	for p, at := range l.PlacesOf(u) {
		out = append(out, safetensors.Entry{Name: name(p.Name), DType: safetensors.F32, Shape: []int{p.R, p.C},
			Data: func() ([]float32, error) { return p.Unpad(x[at:]), nil }})
	}
	return out
}

// readEntry reads the values of the parameter at p from a file to the beginning of x.
func readEntry(f *safetensors.Reader, name string, p bucket.Place, x []float32) error {
	v, err := f.ReadFloat32(name)
	if err != nil {
		return fault.Data(err)
	}
	if len(v) != p.R*p.C {
		return fault.Data(fmt.Errorf("%s: %w: %d values, not %d×%d", name, errShape, len(v), p.R, p.C))
	}
	copy(x, p.Pad(v))
	return nil
}

var errShape = errors.New("of another shape")
