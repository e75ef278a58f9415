package doctor

import (
	"fmt"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
)

// ghostTests checks the Gram without rows, in several chunks of tokens.
func ghostTests() []Test {
	return []Test{
		{Kernel: "ghost_gram", Run: func(e *Probe) error { return checkGhost(e, 1<<20) }},
		{Kernel: "ghost_fold", Run: func(e *Probe) error { return checkGhost(e, 1) }},
	}
}

func checkGhost(e *Probe, limit int64) error {
	const n, r, c, m = 90, 33, 20, 3
	starts := []int{0, 40, 40, n}
	hy, hx := optest.Random(n*r, 1), optest.Random(n*c, 2)
	dy, x, seg := matrix(e, n, r, hy), matrix(e, n, c, hx), e.NewSegments(gpu.RoleData, starts)
	s, sums := e.NewGhostScratch(n, m, limit), e.NewGramSums(e.GhostSums(m))
	defer release(dy, x, seg.Dev)
	defer s.Release()
	defer sums.Release()
	g := e.NewGramSum(m, sums)
	g.AddGhost(dy, x, seg, s)
	g.Start()
	got, err := g.Wait()
	if err != nil {
		return err
	}
	want := ref.GhostGram(hy, hx, starts, r, c)
	if worst, k := e.compareGram(got, want, m); !(worst <= 4e-6) {
		return fmt.Errorf("ghost gram: entry (%d,%d) is %v, want %v", k/m, k%m, got[k], want[k])
	}
	return nil
}
