package compare

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"concord/internal/stats"
)

// TestDetectableAgainstTheOldRule measures, on the committed runs of names8, the difference
// that a comparison by today's rules can see against the one by the rules of the first
// version, from as many runs (those by layer): there, a method and the reference saw different batches, and
// each method had a t interval of its own from three seeds, at 1 − 5 %/10 for ten
// comparisons. Different batches are emulated by pairing each seed of a method with the
// next one of mean.
func TestDetectableAgainstTheOldRule(t *testing.T) {
	const seeds, comparisons = 3, 10 // of the first version
	runs := committed(t, "names8.jsonl")
	choice := newChoice(runs, Grid{FirstSeed: 1, TuneSeeds: 1, Seeds: seeds}, configsOf(runs))
	var names []string
	var paired, crossed [][]float64
	mean, ok := choice.meanAt(runs[0].Config)
	if !ok {
		t.Fatal("no runs of mean")
	}
	for _, f := range choice.families() {
		k, _, _ := choice.best(f)
		if k == mean || k.Control != "" || k.Scope != "layer" { // as many runs as the first version had
			continue
		}
		same, other := firstSeeds(choice.judging[k], seeds), firstSeeds(choice.judging[mean], seeds)
		if len(same) < seeds || len(other) < seeds {
			continue
		}
		var x, y []float64
		for i := range seeds {
			x = append(x, seenTest(same[i])-seenTest(other[i]))
			y = append(y, seenTest(same[i])-seenTest(other[(i+1)%seeds]))
		}
		names, paired, crossed = append(names, k.Name()), append(paired, x), append(crossed, y)
	}
	if len(names) < 5 {
		t.Fatalf("runs of %d methods", len(names))
	}
	var ratios []float64
	for i, d := range stats.Together(paired, nil) {
		zero := make([]float64, seeds)
		old := stats.Paired(crossed[i], zero, 1-(1-stats.Confidence)/comparisons)
		ratios = append(ratios, float64(old.Detectable/d.Detectable))
		t.Logf("%s: detectable %.4f by the old rule, %.4f by today's, %.0f times", names[i], old.Detectable, d.Detectable, ratios[i])
	}
	m := stats.Median(ratios)
	if t.Logf("median of %d methods: %.0f times", len(ratios), m); !(m >= 10) || math.IsInf(m, 0) {
		t.Errorf("the detectable difference is %.1f times smaller, not 10", m)
	}
}

// committed are the runs of a file in docs/results.
func committed(t *testing.T, name string) (out []Result) {
	t.Helper()
	r := &records{lines: map[string][]byte{}}
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "results", name))
	if err != nil {
		t.Fatal(err)
	}
	for n, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		if err := r.read(n, []byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	for _, res := range r.results() {
		out = append(out, *res)
	}
	return out
}

func configsOf(runs []Result) (out []Config) {
	for _, r := range runs {
		out = append(out, r.Config)
	}
	return unique(out)
}

// firstSeeds are the runs of the lowest seeds, in their order.
func firstSeeds(runs []Result, n int) []Result {
	out := slices.SortedFunc(slices.Values(runs), func(a, b Result) int { return int(a.Seed) - int(b.Seed) })
	return out[:min(n, len(out))]
}
