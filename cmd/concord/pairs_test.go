package main

import (
	"bytes"
	"strings"
	"testing"

	"concord/internal/cluster/coordinator"
)

// The status names pairs of machines by their path, not too many, and how much is relayed.
func TestPrintPaths(t *testing.T) {
	pairs := []coordinator.PairStatus{{Workers: [2]uint32{2, 3}, Path: "relayed", Relayed: 5_000_000},
		{Workers: [2]uint32{2, 4}, Path: "punched"}, {Workers: [2]uint32{3, 4}, Path: "relayed", Relayed: 7_000_000}}
	for b := uint32(5); b < 20; b++ {
		pairs = append(pairs, coordinator.PairStatus{Workers: [2]uint32{1, b}, Path: "direct"})
	}
	var out bytes.Buffer
	printPaths(&out, coordinator.Status{Pairs: pairs}.Paths())
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 4 || !strings.HasSuffix(lines[0], "1–16 and 3 more (--json)") || lines[1] != "punched: 2–4" ||
		!strings.HasPrefix(lines[2], "relayed: 2–3, 3–4 (11") || !strings.HasSuffix(lines[2], "over machine 1 so far)") {
		t.Errorf("%q", lines)
	}
}
