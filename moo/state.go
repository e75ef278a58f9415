package moo

// pick is the state of the active ones of n objectives. Values of another length
// are left out: they are of another problem.
func (s State) pick(active []int, n int) State {
	out := State{Scalar: s.Scalar}
	for name, v := range s.Objective {
		if len(v) == n {
			out.Objective = with(out.Objective, name, pick(v, active))
		}
	}
	for name, v := range s.Pair {
		if len(v) != n*n {
			continue
		}
		p := make([]float64, 0, len(active)*len(active))
		for _, i := range active {
			for _, j := range active {
				p = append(p, v[i*n+j])
			}
		}
		out.Pair = with(out.Pair, name, p)
	}
	return out
}

// put is s with the values that the active ones of n objectives now have; the others keep
// their old values, or 0.
func (s State) put(new State, active []int, n int) State {
	out := State{Scalar: new.Scalar}
	for name, v := range new.Objective {
		full := s.objective(name, n, 0)
		for k, i := range active {
			full[i] = v[k]
		}
		out.Objective = with(out.Objective, name, full)
	}
	for name, v := range new.Pair {
		full := make([]float64, n*n)
		if old := s.Pair[name]; len(old) == n*n {
			copy(full, old)
		}
		for a, i := range active {
			for b, j := range active {
				full[i*n+j] = v[a*len(active)+b]
			}
		}
		out.Pair = with(out.Pair, name, full)
	}
	return out
}

func with(m map[string][]float64, name string, v []float64) map[string][]float64 {
	if m == nil {
		m = map[string][]float64{}
	}
	m[name] = v
	return m
}
