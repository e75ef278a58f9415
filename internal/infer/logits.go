package infer

import "concord/internal/fault"

// Logits returns the model's logits after each of ids: len(ids) rows of the
// vocabulary's width, row i those of the token after ids[:i+1].
func (x *Model) Logits(ids []uint32) ([][]float32, error) {
	dec, err := x.decoder(len(ids))
	if err != nil {
		return nil, err
	}
	defer dec.Release()
	out := make([][]float32, len(ids))
	for i, id := range ids {
		if out[i], err = dec.Append(id); err != nil {
			return nil, fault.Classify(err)
		}
	}
	return out, nil
}

// Greedy continues ids, one or more, by n tokens, each the likeliest: the lower id of two alike.
func (x *Model) Greedy(ids []uint32, n int) ([]uint32, error) {
	dec, err := x.decoder(len(ids) + n)
	if err != nil {
		return nil, err
	}
	defer dec.Release()
	var out []uint32
	for next := ids; len(out) < n; next = out[len(out)-1:] {
		logits, err := dec.Append(next...)
		if err != nil {
			return nil, fault.Classify(err)
		}
		out = append(out, sample(logits, Generation{}, 0))
	}
	return out, nil
}
