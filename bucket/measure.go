package bucket

import "concord/tensor"

func (r *Resolver) gradients() []tensor.Tensor {
	var out []tensor.Tensor
	for b := range r.store.Layout.Buckets {
		out = append(out, r.store.Flat(Gradient, b))
	}
	return out
}

// measure takes the norms of the gradients that no Euclidean Gram tells.
func (r *Resolver) measure() {
	var which []tensor.Tensor
	var group []int
	for b, bk := range r.store.Layout.Buckets {
		if rep := &r.reports[bk.Group]; !rep.normed {
			rep.Name, rep.Size, rep.Norm2 = r.store.Layout.Groups[bk.Group].Name, r.store.Layout.Groups[bk.Group].Size, 0
			which, group = append(which, r.store.Flat(Gradient, b)), append(group, bk.Group)
		}
	}
	if len(which) == 0 {
		return
	}
	r.store.Engine.Dev.Span("optimizer")
	sums, err := r.store.Engine.SumSquares(r.sums, which...).Wait()
	if err != nil {
		r.fail(err)
		return
	}
	for i, sum := range sums {
		r.reports[group[i]].Norm2 += sum
	}
}
