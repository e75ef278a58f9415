package train

import "testing"

// The peak of a model whose tied embedding is most of it grows gently with the languages, however
// many tokens there are: with a row each, twice the languages take less than a third more, and with the
// same rows an eighth.
func TestPeakOfAWideVocabulary(t *testing.T) {
	gemma, low := shapes[1], ways[1].lines
	of := map[[2]int]int64{}
	for _, x := range [][2]int{{2, 2}, {4, 4}, {4, 8}, {8, 8}} {
		of[x] = gemma.planner(t, x[0], low).peak(t, x[1])
		t.Logf("%d languages, %d rows: %d bytes", x[0], x[1], of[x])
	}
	for _, x := range []struct {
		less, more [2]int
		most       float64
	}{{[2]int{2, 2}, [2]int{4, 4}, 1.33}, {[2]int{4, 4}, [2]int{8, 8}, 1.33}, {[2]int{4, 8}, [2]int{8, 8}, 1.125}} {
		if a, b := of[x.less], of[x.more]; a == 0 || float64(b) > x.most*float64(a) {
			t.Errorf("languages and rows %v take %d bytes, %v %d: more than %g times as much", x.more, b, x.less, a, x.most)
		}
	}
}
