package compare

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"concord/internal/fault"
	"concord/internal/report"
	"concord/internal/train"
)

// Another checkout goes on from the committed lines: a comparison in an empty folder makes
// only what the file lacks, comes to the same report up to the digits that are kept, and
// leaves the file whole. Other settings, and a line that was cut, are refused by name.
func TestRecords(t *testing.T) {
	runFile, file := tinyRun(t), filepath.Join(t.TempDir(), "results.jsonl")
	with := func(out string, g Grid, overrides ...string) (*Report, string, error) {
		var screen bytes.Buffer
		run, err := loaded(runFile, overrides...)
		if err != nil {
			t.Fatal(err)
		}
		o := Options{Run: run, Grid: g, Out: out, Results: file}
		rep, err := Run(t.Context(), o, train.UI{Out: &screen, Warn: &screen})
		return rep, screen.String(), err
	}
	g := tinyGrid()
	g.StaticSweep, g.StaticBudget, g.Alone = false, 0, true // alone: a first batch without the other languages
	first, _, err := with(t.TempDir(), g)
	if err != nil {
		t.Fatal(err)
	}
	whole := lines(t, file)
	if len(whole) != 1+first.Finished {
		t.Fatalf("%d lines for %d runs", len(whole), first.Finished)
	}
	write(t, file, whole[:len(whole)-1])
	again, screen, err := with(t.TempDir(), g)
	if err != nil {
		t.Fatal(err)
	}
	if again.Finished != first.Finished || strings.Count(screen, ": seen ") != 1 {
		t.Fatalf("%d of %d runs\n%s", again.Finished, first.Finished, screen)
	}
	if len(again.Problems) > 0 || len(lines(t, file)) != len(whole) {
		t.Errorf("problems %q, %d lines", again.Problems, len(lines(t, file)))
	}
	for i, f := range again.Families {
		want := first.Families[i]
		for _, x := range [][2]Difference{{f.VsRef, want.VsRef}, {f.WorstVs, want.WorstVs}} {
			if f.Chosen != want.Chosen || f.Chosen != f.Reference && !near(float64(x[0].Mean), float64(x[1].Mean), 2e-6) {
				t.Errorf("%s: %v, want %v", f.Name, x[0], x[1])
			}
		}
	}
	for i, r := range again.Runs {
		for lang, docs := range first.Runs[i].Docs {
			for k, d := range docs {
				if got := r.Docs[lang][k]; got.Bytes != d.Bytes || !near(got.NLL, d.NLL, 1.0/nllUnit) {
					t.Fatalf("%s, %s, example %d: %v, want %v", r.Slug, lang, k, got, d)
				}
			}
		}
	}
	if _, _, err := with(t.TempDir(), g, "optim.clip=0.5"); !fault.IsUsage(err) || !strings.Contains(err.Error(), "optim.clip was") {
		t.Errorf("other settings go on: %v", err)
	}
	olderThan(t, file, `"optim.in_backward":false,`)
	if older, _, err := with(t.TempDir(), g); err != nil || older.Finished != first.Finished {
		t.Errorf("a setting that the file does not know yet: %v", err)
	}
	if _, _, err := with(t.TempDir(), g, "optim.in_backward=true"); !fault.IsUsage(err) ||
		!strings.Contains(err.Error(), "optim.in_backward was false and is true") {
		t.Errorf("such a setting at another value: %v", err)
	}
	whole[2] = whole[2][:len(whole[2])/2]
	write(t, file, whole)
	if _, _, err := with(t.TempDir(), g); !errors.Is(err, train.ErrData) || !strings.Contains(err.Error(), "results.jsonl:3") {
		t.Errorf("a line that was cut: %v", err)
	}
}

// Long examples have more than the 512 nats that 16 bits hold in steps of 1/128.
func TestRecordsOfLongExamples(t *testing.T) {
	scores := []Score{{Lang: "aa", Seen: true, BitsPerByte: 2, Bytes: 9000, Examples: 2}, {Lang: "bb", Seen: true, BitsPerByte: 2}}
	run := &Result{Valid: scores, Test: scores, First: map[string]report.Float{"bb": 3},
		Docs: map[string][]Doc{"aa": {{NLL: 4321.5, Bytes: 8000}, {NLL: 12.25, Bytes: 1000}}}}
	got, err := newLine(run).result(commonOf(run))
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range run.Docs["aa"] {
		if g := got.Docs["aa"][i]; g.Bytes != d.Bytes || !near(g.NLL, d.NLL, 1.0/16) {
			t.Errorf("example %d: %v, want %v", i, g, d)
		}
	}
	if !reflect.DeepEqual(got.First, run.First) {
		t.Errorf("first losses %v, want %v", got.First, run.First)
	}
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

func write(t *testing.T, path string, lines []string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}
