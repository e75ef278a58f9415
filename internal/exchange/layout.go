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

// groupPlace is a parameter's place in its group.
type groupPlace struct {
	bucket.Place
	at int // elements from the group's beginning
}

// placesOf lists the parameters of group u.
func placesOf(l bucket.Layout, u int) (out []groupPlace) {
	base := 0
	for _, b := range l.Groups[u].Buckets {
		for _, p := range l.Buckets[b].Params {
			out = append(out, groupPlace{p, base + p.Offset})
		}
		base += l.Buckets[b].Size
	}
	return out
}

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
	for _, p := range placesOf(l, u) {
		out = append(out, safetensors.Entry{Name: name(p.Name), DType: safetensors.F32, Shape: []int{p.R, p.C},
			Data: func() ([]float32, error) { return unpad(x[p.at:], p.R, p.C, p.LD()), nil }})
	}
	return out
}

// readEntry reads a parameter's values from a file to their place in x, its group's.
func readEntry(f *safetensors.Reader, name string, p groupPlace, x []float32) error {
	v, err := f.ReadFloat32(name)
	if err != nil {
		return fault.Data(err)
	}
	if len(v) != p.R*p.C {
		return fault.Data(fmt.Errorf("%s: %w: %d values, not %d×%d", name, errShape, len(v), p.R, p.C))
	}
	for i := range p.R {
		copy(x[p.at+i*p.LD():], v[i*p.C:(i+1)*p.C])
	}
	return nil
}

var errShape = errors.New("of another shape")

// unpad is r rows of c values each, of rows of ld values.
func unpad(x []float32, r, c, ld int) []float32 {
	out := make([]float32, 0, r*c)
	for i := range r {
		out = append(out, x[i*ld:i*ld+c]...)
	}
	return out
}
