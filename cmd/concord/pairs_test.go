package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"concord/internal/cluster/coordinator"
	"concord/internal/report"
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

// The report names each pair of the run's last status with its path and the bytes that were relayed.
func TestReportOfPairs(t *testing.T) {
	dir := t.TempDir()
	var metrics bytes.Buffer
	status, err := json.Marshal(coordinator.Status{
		Members: []coordinator.MemberStatus{{Worker: 1, Name: "first"}, {Worker: 2, Name: "kitchen"}, {Worker: 3, Name: "attic"}},
		Pairs: []coordinator.PairStatus{{Workers: [2]uint32{1, 2}, Path: "direct"},
			{Workers: [2]uint32{2, 3}, Path: "relayed", Relayed: 5_000_000}}})
	for _, x := range []any{report.Header{Kind: "header", Languages: []string{"aa"}, Steps: 1},
		report.Step{Kind: "step", Step: 1, Steps: 1, LossByLang: map[string]report.Float{"aa": 3}, Exchange: &report.Exchange{Workers: 3}}} {
		if err == nil {
			err = report.WriteJSON(&metrics, x)
		}
	}
	if err == nil {
		err = os.Mkdir(filepath.Join(dir, "cluster"), 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	file(t, dir, "metrics.jsonl", metrics.String())
	file(t, filepath.Join(dir, "cluster"), "status.json", string(status))
	if code, _, errs := concord(t, "", "report", dir); code != 0 {
		t.Fatal(errs)
	}
	page, err := os.ReadFile(filepath.Join(dir, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	const want = `"pairs":[{"machines":"1 first – 2 kitchen","path":"direct","relayed":0},` +
		`{"machines":"2 kitchen – 3 attic","path":"relayed","relayed":5000000}]`
	if !strings.Contains(string(page), want) {
		t.Errorf("the page lacks %s", want)
	}
}
