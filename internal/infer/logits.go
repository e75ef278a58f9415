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

// Greedy continues ids by n tokens, each the likeliest.
func (x *Model) Greedy(ids []uint32, n int) ([]uint32, error) {
	dec, err := x.decoder(len(ids) + n)
	if err != nil {
		return nil, err
	}
	defer dec.Release()
	logits, err := dec.Append(ids...)
	var out []uint32
	for range n {
		if err != nil {
			return nil, fault.Classify(err)
		}
		best := 0
		for i, v := range logits {
			if v > logits[best] {
				best = i
			}
		}
		out = append(out, uint32(best))
		logits, err = dec.Append(uint32(best))
	}
	return out, fault.Classify(err)
}
