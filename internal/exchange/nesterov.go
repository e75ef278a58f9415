package exchange

import "concord/bucket"

// nesterov is the outer optimizer: SGD with Nesterov's momentum, on the CPU in float32,
//
//	v ← μv + g,  w ← w − lr (g + μv)
//
// with the momentum after the step in the second (Douillard et al., 2311.08105).
type nesterov struct {
	lr, mu   float32
	velocity [][]float32 // by group, of the steps that are committed
	next     [][]float32 // of the one under way
}

func newNesterov(lr, momentum float64, groups []bucket.ResolveGroup) nesterov {
	n := nesterov{lr: float32(lr), mu: float32(momentum), next: make([][]float32, len(groups))}
	for _, u := range groups {
		n.velocity = append(n.velocity, make([]float32, u.Size))
	}
	return n
}

// update makes the step of a group, whose weights w are changed in place. The velocity
// moves with commit only: until then the step can be made again.
func (n *nesterov) update(group int, w, gradient []float32) {
	v := make([]float32, len(gradient))
	for i, g := range gradient { // conversions keep compilers from fusing: the same bits everywhere
		v[i] = float32(n.mu*n.velocity[group][i]) + g
		w[i] -= float32(n.lr * (g + float32(n.mu*v[i])))
	}
	n.next[group] = v
}

// commit ends a step in which every group was updated.
func (n *nesterov) commit() {
	copy(n.velocity, n.next)
	clear(n.next)
}
