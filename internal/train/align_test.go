package train

import (
	"math"
	"strings"
	"testing"

	"concord/bucket"
)

// Aligned and drawn batches are the same on many machines: two of them come to the weights
// of one.
func TestMixingsOnManyMachines(t *testing.T) {
	for _, more := range [][]string{{"data.align=line", "batch.accumulate=2"}, {"data.mixing=iid", "objective.method=token-mean"}} {
		one := open(t, tiny(t, append(more, "batch.rows=6")...))
		steps(t, one, 2)
		g := newGang(t, tiny(t, append(append(more, "batch.rows=6"), exact...)...), 2)
		g.steps(2)
		want, got := values(t, one, bucket.Weight), values(t, g.all[0], bucket.Weight)
		for i := range want {
			if math.Abs(float64(got[i]-want[i])) > 2e-4 {
				t.Fatalf("%v: weight %d is %v, on one machine %v", more, i, got[i], want[i])
			}
		}
	}
}

// The screen says how many examples each language is aligned by, and batches that cannot
// be divided are refused with those that can.
func TestAlignedRunSays(t *testing.T) {
	p, err := Check(tiny(t, "data.align=line"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range p.Data[:3] {
		if got := strings.Join(d.Notes, "\n"); !strings.Contains(got, "18 of its 18 examples are trained on, in all 3 languages together") {
			t.Errorf("%s: %q", d.Lang, got)
		}
	}
	if _, err := Check(tiny(t, "data.align=line", "batch.rows=4")); err == nil || !strings.Contains(err.Error(), "make it 3 or 6") {
		t.Errorf("4 rows of 3 languages: %v", err)
	}
}
