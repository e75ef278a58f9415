package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
	if code, _, errs := concord(t, "", "doctor", "--list", "--out", filepath.Join(dir, "none", "x.json")); code == 0 || !strings.Contains(errs, "--out") {
		t.Errorf("a folder that does not exist: exit code %d\n%s", code, errs)
	}
}
