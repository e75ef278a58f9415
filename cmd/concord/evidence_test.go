package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"concord/internal/train/traintest"
)

// A finished run as a page, figures and an analysis; and what each verb says to
// a folder that is none.
func TestReportVerb(t *testing.T) {
	traintest.RequireAdapter(t)
	runFile := traintest.Run(t, nil)
	if code, _, errs := concord(t, "", "train", runFile, "-o", "objective.method=pcgrad", "-o", "probe.every=2"); code != 0 {
		t.Fatal(errs)
	}
	dir := filepath.Join(filepath.Dir(runFile), "runs", "tiny")
	out := t.TempDir()
	code, text, errs := concord(t, "", "report", dir, "--csv", filepath.Join(out, "csv"), "--png", filepath.Join(out, "png"),
		"--tensorboard", filepath.Join(out, "tb"), "--wandb", filepath.Join(out, "wandb"), "--json")
	var w written
	if err := json.Unmarshal([]byte(text), &w); code != 0 || err != nil || len(w.CSV) < 7 || len(w.PNG) != 15 || len(w.Warnings) != 0 {
		t.Errorf("report: %d, %d CSV, %d PNG, warnings %q, %q", code, len(w.CSV), len(w.PNG), w.Warnings, errs)
	}
	if logs, err := filepath.Glob(filepath.Join(w.Wandb, "run-*.wandb")); len(logs) != 1 ||
		filepath.Dir(w.Wandb) != filepath.Join(out, "wandb") || filepath.Dir(w.TB) != filepath.Join(out, "tb") {
		t.Errorf("curves in %q with %v (%v), and in %q", w.Wandb, logs, err, w.TB)
	}
	if code, text, _ := concord(t, "", "report", dir, "--wandb", filepath.Join(out, "wandb")); code != 0 ||
		!strings.Contains(text, "wandb sync "+w.Wandb+"\n") {
		t.Errorf("a second report: %d, %q is not the folder of the first, %s", code, text, w.Wandb)
	}
	page, err := os.ReadFile(filepath.Join(dir, "report.html"))
	if err != nil || !strings.Contains(string(page), `"predicted":{"aa":-`) || !strings.Contains(string(page), `"cos":[1,`) {
		t.Errorf("the page lacks probes or cosines (%v)", err)
	}
	for name, args := range map[string][]string{
		"report to nowhere":       {"report", dir, "--out", filepath.Join(out, "no", "such", "folder.html")},
		"analysis of too few":     {"analyze", "separability", dir},
		"analysis of no base":     {"analyze", "separability", dir, filepath.Join(out, "none")},
		"analysis of no examples": {"analyze", "separability", runFile, filepath.Join(out, "none"), dir},
	} {
		if code, _, errs := concord(t, "", args...); code != exitData || !strings.Contains(errs, "concord: ") {
			t.Errorf("%s: exit code %d, %q", name, code, errs)
		}
	}
	for name, args := range map[string][]string{
		"attach to no run":             {"attach", t.TempDir()},
		"report of no run":             {"report", t.TempDir()},
		"analysis of a run file alone": {"analyze", "separability", runFile},
		"analysis of three examples":   {"analyze", "separability", dir, "--examples", "3"},
		"bench of no method":           {"bench", "moo", runFile, "--methods", "pcgard"},
		"bench of 65 languages":        {"bench", "moo", runFile, "--objectives", "65"},
		"bench of a baseline":          {"bench", "moo", runFile, "--baseline", "famo"},
	} {
		if code, _, errs := concord(t, "", args...); code != exitUsage {
			t.Errorf("%s: exit code %d, %q", name, code, errs)
		}
	}
}

// The price of methods, for more languages than the run file has.
func TestBenchMoo(t *testing.T) {
	traintest.RequireAdapter(t)
	runFile := traintest.Run(t, nil)
	code, text, errs := concord(t, "", "bench", "moo", runFile, "--methods", "mean,mgda,famo-lagged,famo,graddrop", "--objectives",
		"5", "--steps", "1", "--warmup", "1", "--json")
	var r struct {
		Order   []string
		Methods map[string]struct {
			PeakBytes    int64            `json:"peak_bytes"`
			TouchedBytes int64            `json:"touched_bytes"`
			BytesByRole  map[string]int64 `json:"bytes_by_role"`
		}
	}
	if err := json.Unmarshal([]byte(text), &r); code != 0 || err != nil {
		t.Fatalf("%d, %q, %q", code, text, errs)
	}
	if len(r.Order) != 7 {
		t.Errorf("order %v", r.Order)
	}
	m := r.Methods
	if m["famo-lagged"].PeakBytes != m["mean"].PeakBytes || m["famo-lagged"].TouchedBytes != m["mean"].TouchedBytes {
		t.Errorf("famo-lagged touches %+v, mean %+v", m["famo-lagged"], m["mean"])
	}
	// famo takes mean's memory, and two forward passes more than it.
	if m["famo"].PeakBytes != m["mean"].PeakBytes || m["famo"].TouchedBytes <= m["mean"].TouchedBytes ||
		m["famo"].TouchedBytes >= 2*m["mean"].TouchedBytes {
		t.Errorf("famo touches %+v, mean %+v", m["famo"], m["mean"])
	}
	full := m["pcgrad, M full gradients"]
	if full.BytesByRole["rows"] <= m["mgda"].BytesByRole["rows"] || m["pcgrad, M passes"].TouchedBytes < 2*full.TouchedBytes {
		t.Errorf("M full gradients %+v, M passes %+v, mgda %+v", full, m["pcgrad, M passes"], m["mgda"])
	}
}
