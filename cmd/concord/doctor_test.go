package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"concord/internal/doctor"
	"concord/internal/stepcheck"
	"concord/internal/train/traintest"
)

// TestDoctorReport: --out writes the whole report, leaves nothing else in the
// folder, and fails where it cannot; also without an adapter.
func TestDoctorReport(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "doctor.json")
	for _, args := range [][]string{{"doctor", "--list"}, {"doctor", "--list", "--adapter", "nothing such"}} {
		_, _, errs := concord(t, "", append(args, "--out", path)...)
		b, err := os.ReadFile(path)
		if err != nil || !strings.Contains(errs, path) {
			t.Fatalf("%v: %v\n%s", args, err, errs)
		}
		var r doctorReport
		if err := json.Unmarshal(b, &r); err != nil || r.Version.Go == "" || r.System == "" || r.Time.IsZero() || r.OK != (r.Error == "") {
			t.Errorf("%v: %v: %+v", args, err, r)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("the folder holds %v", left)
	}
	if code, _, errs := concord(t, "", "doctor", "--list", "--out", filepath.Join(dir, "none", "x.json")); code == 0 ||
		!strings.Contains(errs, "--out") {
		t.Errorf("a folder that does not exist: exit code %d\n%s", code, errs)
	}
}

// TestDoctorStep: doctor makes whole training steps, prints their figures with bounds, and
// has them in its JSON.
func TestDoctorStep(t *testing.T) {
	t.Parallel()
	traintest.RequireAdapter(t)
	path := filepath.Join(t.TempDir(), "doctor.json")
	code, out, errs := concord(t, "", "doctor", "--out", path)
	for _, want := range []string{"  tied embeddings", "  untied embeddings", "losses by language",
		"combined gradients", "updated weights", "bound 1.0e-09",
		"gave the same bits", "2 whole training steps are right"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Fatalf("exit code %d, without %q:\n%s%s", code, want, out, errs)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var r doctorReport
	if err := json.Unmarshal(b, &r); err != nil || len(r.Tests) != 1 || len(r.Tests[0].Steps) != 2 {
		t.Fatalf("%v: %+v", err, r)
	}
	for _, s := range r.Tests[0].Steps {
		if !s.OK || !s.Repeats || len(s.Figures) == 0 {
			t.Errorf("%+v", s)
		}
	}
}

// TestDoctorAdvice: a step that fails is advised on though every kernel is right.
func TestDoctorAdvice(t *testing.T) {
	wrong := adapterTests{Verdicts: []doctor.Verdict{{Kernel: "matmul", OK: true}},
		Steps: []stepcheck.Verdict{{Model: "tied", Error: "losses: NMSE 1; " + doctor.ErrNotRepeatable.Error()}}}
	a := strings.Join(doctor.Advise(doctor.Adapter{}, nil, wrong.all()), "\n")
	if !strings.Contains(a, "overclocking") || !strings.Contains(a, "update the driver") {
		t.Errorf("advice: %s", a)
	}
	less := adapterTests{Steps: []stepcheck.Verdict{{Error: "out of memory", Memory: true}}}
	if a := doctor.Advise(doctor.Adapter{}, nil, less.all()); len(a) != 1 || !strings.Contains(a[0], "--memory") {
		t.Errorf("advice: %v", a)
	}
}
