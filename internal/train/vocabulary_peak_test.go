package train

import "testing"

// The peak of a model whose tied embedding is most of it grows gently with the languages, however
// many tokens there are: with a row each, twice the languages take less than a third more, and with the
// same rows an eighth. So it is where rows would fit in activations that are each too small for a part.
func TestPeakOfAWideVocabulary(t *testing.T) {
	for _, way := range ways[:2] {
		of := map[[2]int]int64{}
		for _, x := range [][2]int{{2, 2}, {4, 4}, {4, 8}, {8, 8}} {
			of[x] = shapes[1].planner(t, x[0], way.lines).peak(t, x[1])
			t.Logf("%s, %d languages, %d rows: %d bytes", way.name, x[0], x[1], of[x])
		}
		for _, x := range []struct {
			less, more [2]int
			most       float64
		}{{[2]int{2, 2}, [2]int{4, 4}, 1.33}, {[2]int{4, 4}, [2]int{8, 8}, 1.33}, {[2]int{4, 8}, [2]int{8, 8}, 1.125}} {
			if a, b := of[x.less], of[x.more]; a == 0 || float64(b) > x.most*float64(a) {
				t.Errorf("%s: languages and rows %v take %d bytes, %v %d: more than %g times as much", way.name, x.more, b, x.less, a, x.most)
			}
		}
	}
}
