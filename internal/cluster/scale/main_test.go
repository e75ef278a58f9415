package main

import "testing"

func TestSimulation(t *testing.T) {
	lan, home := nets[0], nets[1]
	small, large := models[0], models[2]
	if r := simulate(small, lan, 1, 8, 1); r.up != 0 || r.rows != 0 || r.buckets != 0 {
		t.Errorf("one machine sends: %+v", r)
	}
	four, many := simulate(small, home, 4, 8, 1), simulate(small, home, 256, 8, 1)
	if many.efficiency >= four.efficiency {
		t.Errorf("home links: %.2f with 4 machines, %.2f with 256", four.efficiency, many.efficiency)
	}
	if a, b := simulate(small, lan, 32, 8, 1), simulate(large, lan, 32, 8, 1); b.buckets <= a.buckets || b.most <= a.most {
		t.Errorf("a larger model: %+v, %+v", a, b)
	}
	if a, b := simulate(large, lan, 4, 8, 1), simulate(large, lan, 4, 8, 1); a != b {
		t.Error("the same seed, another result")
	}
	// 2(W−1)/W gradients each with one language per machine, as in data parallelism.
	if r := simulate(large, lan, 8, 8, 1); r.up < 0.99*2*7/8.*1e9 || r.up > 1.9*2*7/8.*1e9 {
		t.Errorf("8 machines, 8 languages: %.2f GB a machine", r.up/1e9)
	}
}
