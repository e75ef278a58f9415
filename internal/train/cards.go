package train

import (
	"fmt"

	"concord/gpu"
)

// CardShare is the part of a discrete card's memory that a run takes by default.
const CardShare = 0.8

// UsualCards are cards of sizes that people have, with the memory that a run may take of
// them.
func UsualCards(kind gpu.AdapterType) (out []Card) {
	for _, gb := range []int64{4, 6, 8, 12, 16, 24} {
		out = append(out, Card{Name: fmt.Sprintf("%2d GB card", gb), Type: kind, Memory: int64(CardShare * float64(gb<<30))})
	}
	return out
}
