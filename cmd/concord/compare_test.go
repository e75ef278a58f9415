package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"concord/internal/train/traintest"
)

// A comparison that is killed in the middle of a run goes on where it was; while
// it runs, no other process may write there.
func TestCompareKill(t *testing.T) {
	t.Parallel()
	traintest.RequireAdapter(t)
	runFile := traintest.Run(t, map[string]string{"schedule": "steps = 4", "checkpoint": "every = 2"})
	out := filepath.Join(t.TempDir(), "cmp")
	// three arms, a seed that chooses and four that judge: some runs are left when the kill comes, however fast they are
	args := []string{"compare", runFile, "--methods", "pcgrad", "--lrs", "1e-2", "--seeds", "4", "--out", out}
	c := start(t, args...)
	if !c.await(c.lines, "seen ") { // the first run is done
		_, errs := c.end()
		t.Fatal(errs)
	}
	if code, _, errs := concord(t, "", args...); code != exitData || !strings.Contains(errs, "is being written to by process") {
		t.Errorf("a second process: exit code %d\n%s", code, errs)
	}
	time.Sleep(20 * time.Millisecond) // somewhere in a run
	c.Process.Kill()
	c.end()
	code, stdout, errs := concord(t, "", args...)
	if code != 0 || !regexp.MustCompile("of ~?15 runs are done already").MatchString(stdout) || !strings.Contains(stdout, "run 15/15") ||
		!strings.Contains(stdout, "report in "+filepath.Join(out, "report.md")) {
		t.Fatalf("exit code %d:\n%s\n%s", code, stdout, errs)
	}
	for _, name := range []string{"report.md", "report.html", "report.csv", "report.json", "compare.lock.json"} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			t.Error(err)
		}
	}
	code, stdout, errs = concord(t, "", append(args, "--json")...)
	var rep struct {
		Command  string
		Finished int `json:"runs_finished"`
		Verdict  []string
	}
	if err := json.Unmarshal([]byte(stdout), &rep); err != nil || code != 0 || rep.Finished != 15 || len(rep.Verdict) == 0 ||
		!strings.HasPrefix(rep.Command, "concord compare ") {
		t.Errorf("exit code %d, %v:\n%s\n%s", code, err, stdout, errs)
	}
}

// What the user gets wrong is exit code 2, with what to do.
func TestCompareUsage(t *testing.T) {
	runFile := traintest.Run(t, nil)
	out := t.TempDir()
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--methods", "meen"}, `"meen" is not one of`},
		{[]string{"--seeds", "0"}, "--seeds 0"},
		{[]string{"--jobs", "0"}, "--jobs 0"},
		{[]string{"--tune-seeds=-1"}, "--tune-seeds -1"},
		{[]string{"--static-budget", "2"}, "--static-sweep"},
		{[]string{"-o", "optim.lr=fast"}, "wrong type"},
	} {
		if code, _, errs := concord(t, "", append([]string{"compare", runFile, "--out", out}, c.args...)...); code != exitUsage ||
			!strings.Contains(errs, c.says) {
			t.Errorf("%v: exit code %d\n%s", c.args, code, errs)
		}
	}
}
