package export

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Difference is that of two models on the same texts.
type Difference struct {
	Texts   int     `json:"texts"`
	Tokens  int     `json:"tokens"`   // all of their logits were compared
	MaxAbs  float64 `json:"max_abs"`  // of a logit
	MeanAbs float64 `json:"mean_abs"` // of the logits
	NMSE    float64 `json:"nmse"`     // Σ(a − b)² / Σ(a − mean a)², by token
	Bound   float64 `json:"bound"`    // of nmse
	NLL     float64 `json:"nll"`      // the second's less the first's, nats a token, of each text's tokens but its first
	Agree   float64 `json:"agree"`    // share of tokens after which the likeliest token is the same
	Greedy  [2]int  `json:"greedy"`   // texts that both continue by the same tokens, of so many
}

func (d Difference) String() string {
	return fmt.Sprintf("%d texts, %d tokens: a logit differs by %.3g at most, %.3g on average, NMSE %.3g (allowed %.3g), "+
		"the NLL by %+.3g nats a token, the likeliest next token is the same after %.1f%%, "+
		"%d of %d greedy texts are",
		d.Texts, d.Tokens, d.MaxAbs, d.MeanAbs, d.NMSE, d.Bound, d.NLL, 100*d.Agree, d.Greedy[0], d.Greedy[1])
}

// compare makes the figures of two models' words on texts.
func compare(want, got said, texts [][]uint32) Difference {
	d := Difference{Texts: len(texts), Tokens: len(want.logits)}
	wrong, all, agree, logits := 0.0, 0.0, 0, 0
	for i, a := range want.logits {
		b, mean := got.logits[i], 0.0
		for _, x := range a {
			mean += float64(x) / float64(len(a))
		}
		for k, x := range a {
			diff := float64(x) - float64(b[k])
			d.MaxAbs = max(d.MaxAbs, math.Abs(diff))
			d.MeanAbs += math.Abs(diff)
			wrong += diff * diff
			all += (float64(x) - mean) * (float64(x) - mean)
		}
		logits += len(a)
		if likeliest(a) == likeliest(b) {
			agree++
		}
	}
	d.NMSE, d.Agree, d.MeanAbs = wrong/all, float64(agree)/float64(max(len(want.logits), 1)), d.MeanAbs/float64(max(logits, 1))
	if wrong == 0 {
		d.NMSE = 0
	}
	d.NLL = nll(got.logits, texts) - nll(want.logits, texts)
	for i, a := range want.greedy {
		d.Greedy[1]++
		if slices.Equal(a, got.greedy[i]) {
			d.Greedy[0]++
		}
	}
	return d
}

// nll is the mean over the tokens of all texts but their first, in nats.
func nll(logits [][]float32, texts [][]uint32) float64 {
	sum, n, at := 0.0, 0, 0
	for _, ids := range texts {
		for i := 1; i < len(ids); i++ {
			sum += surprise(logits[at+i-1], ids[i])
			n++
		}
		at += len(ids)
	}
	return sum / float64(max(n, 1))
}

// surprise is the negative log-likelihood of id, in nats.
func surprise(logits []float32, id uint32) float64 {
	top, sum := float64(slices.Max(logits)), 0.0
	for _, x := range logits {
		sum += math.Exp(float64(x) - top)
	}
	return top + math.Log(sum) - float64(logits[id])
}

func likeliest(x []float32) int {
	best := 0
	for i := range x {
		if cmp.Compare(x[i], x[best]) > 0 {
			best = i
		}
	}
	return best
}
