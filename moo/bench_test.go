package moo

import (
	"fmt"
	"testing"
)

// BenchmarkSolve is one bucket's solve: conflict-heavy gradients, full rank and
// with more objectives than dimensions.
func BenchmarkSolve(b *testing.B) {
	for _, info := range Methods() {
		if info.Needs != NeedsGram {
			continue
		}
		name := info.Name
		for _, s := range [][2]int{{8, 1000}, {64, 1000}, {64, 40}} {
			b.Run(fmt.Sprintf("%s/M=%d,N=%d", name, s[0], s[1]), func(b *testing.B) {
				m := must(b, name, nil)
				in := full(Input{G: gaussian(rng(1), s[0], s[1]).Gram()})
				for b.Loop() {
					if _, err := Solve(m, in); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
