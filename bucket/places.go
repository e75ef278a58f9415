package bucket

import "iter"

// Place is a parameter's place in its bucket.
type Place struct {
	Param
	Bucket int
	Offset int // elements, a multiple of Align
}

// Place returns where the parameter called name lies.
func (l Layout) Place(name string) (Place, bool) {
	p, ok := l.places[name]
	return p, ok
}

// PlacesOf are the parameters of group u, with the element at which each begins among the
// group's values: those of its buckets one after the other, padding included.
func (l Layout) PlacesOf(u int) iter.Seq2[Place, int] {
	return func(yield func(Place, int) bool) {
		base := 0
		for _, b := range l.Groups[u].Buckets {
			for _, p := range l.Buckets[b].Params {
				if !yield(p, base+p.Offset) {
					return
				}
			}
			base += l.Buckets[b].Size
		}
	}
}

// Unpad copies the R*C values of the parameter from x, which begins with it as it lies in its
// bucket.
func (p Place) Unpad(x []float32) []float32 {
	out := make([]float32, 0, p.R*p.C)
	for i := range p.R {
		out = append(out, x[i*p.LD():i*p.LD()+p.C]...)
	}
	return out
}

// Pad is the inverse of Unpad: Extent values, with zeros as padding.
func (p Place) Pad(values []float32) []float32 {
	out := make([]float32, p.Extent())
	for i := range p.R {
		copy(out[i*p.LD():], values[i*p.C:(i+1)*p.C])
	}
	return out
}
