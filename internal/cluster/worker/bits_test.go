package worker

import (
	"encoding/hex"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"concord/internal/cluster/protocol"
	"concord/transport"
)

// What machines compute on their CPUs has the same bits on every processor, those
// that fuse multiplications and additions included (reference case 34): rounding with
// feedback, sums of rows, and of what machines changed as a whole. The hashes are
// those of amd64; arm64 gives them too:
//
//	GOARCH=arm64 CGO_ENABLED=0 go test -c -o bits ./internal/cluster/worker && qemu-aarch64 bits -test.run TestBitsOnEveryProcessor
func TestBitsOnEveryProcessor(t *testing.T) {
	for codec, want := range map[transport.Codec]string{
		transport.F32:  "9ee513e0016efbe5652becbd18d69f847e2acd28f7ce800a43f8e56fbfb2b430",
		transport.BF16: "f2c8b7576a8a9f350719e3387ecd92398de78ed365874eeee9ef6615a806db7b",
		transport.Int8: "25bd9ac67f1c818e42ebd812a22f3ca95d4bf78a6832fb1c5ad7140519764dbf",
	} {
		r := rand.New(rand.NewPCG(1, 2))
		w := protocol.Work{Segments: 2, Langs: 2, Lang: []int{0, 0, 0, 1, 1}, Segment: []int{0, 0, 0, 1, 1}, Tokens: []int{3, 7, 5, 11, 13}}
		var all [][]byte
		for _, w.Whole = range []bool{false, true} {
			m := New(Options{})
			m.id, m.ep = 1, new(transport.Endpoint)
			m.Configure(Shape{Groups: []int{1000}, Segments: 2, Langs: 2, Codec: codec}, nil)
			for n := range 3 {
				m.startFeedback(n)
				s := m.open(n, w, &protocol.Plan{Step: n, Owners: []uint32{1}, Since: []uint32{1},
					Shares: []protocol.Share{{Worker: 1, From: 0, To: 2}, {Worker: 2, From: 2, To: 4}, {Worker: 3, From: 4, To: 5}}})
				delete(s.owned[0].expect, contribution{3, 1}) // does not count: the rest is scaled
				for _, sh := range s.plan.Shares[:2] {
					parts := w.PartTokens(sh)
					for _, row := range slices.Sorted(maps.Keys(parts)) {
						x := make([]float32, 1000)
						for i := range x {
							x[i] = float32((r.Float64() - 0.5) * 0.04)
						}
						o := outRow{row: row, values: x, tokens: parts[row]}
						if w.Whole {
							o.losses = []float64{1, 2}
						}
						m.quantizeWithFeedback(&o, codec)
						if err := s.count(0, contribution{sh.Worker, row}, o); err != nil {
							t.Fatal(err)
						}
					}
				}
				for _, x := range s.summed(t).Rows {
					all = append(all, transport.F32.Encode(x))
				}
			}
		}
		sum := transport.Sum(all...)
		if got := hex.EncodeToString(sum[:]); got != want {
			t.Errorf("%s: %s, not %s", codec, got, want)
		}
	}
}
