package checkpoint

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func files(text string) []File {
	return []File{
		{"state.json", func(w io.Writer) error { _, err := io.WriteString(w, `{"a":"`+text+`"}`); return err }},
		{"tensors", func(w io.Writer) error { _, err := io.WriteString(w, text+text); return err }},
	}
}

func save(t *testing.T, dir string, step int, text string) string {
	t.Helper()
	p, err := Save(dir, step, files(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestLatestIsTheNewestWhole(t *testing.T) {
	dir := t.TempDir()
	if _, _, _, err := Latest(dir); !errors.Is(err, ErrNone) {
		t.Fatalf("empty folder: %v, want ErrNone", err)
	}
	save(t, dir, 5, "five")
	want := save(t, dir, 10, "ten")
	got, step, skipped, err := Latest(dir)
	if err != nil || got != want || step != 10 || len(skipped) != 0 {
		t.Fatalf("Latest = %s, %d, %v, %v", got, step, skipped, err)
	}
}

// Every file of the newest checkpoint is cut at every length, and each byte is
// changed: each time the previous checkpoint must be used.
func TestDamageAtEveryByteIsDetected(t *testing.T) {
	dir := t.TempDir()
	previous := save(t, dir, 1, "first")
	newest := save(t, dir, 2, "second")
	for _, name := range []string{"state.json", "tensors", manifestName} {
		p := filepath.Join(newest, name)
		whole, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		damaged := func(b []byte, what string, i int) {
			if err := os.WriteFile(p, b, 0o644); err != nil {
				t.Fatal(err)
			}
			if got, _, _, err := Latest(dir); err != nil || got != previous {
				t.Fatalf("%s %s at byte %d: Latest = %s, %v", name, what, i, got, err)
			}
		}
		for i := range whole {
			damaged(whole[:i], "cut", i)
			flipped := append([]byte{}, whole...)
			flipped[i] ^= 1
			damaged(flipped, "changed", i)
		}
		if err := os.Remove(p); err != nil {
			t.Fatal(err)
		}
		if got, _, _, _ := Latest(dir); got != previous {
			t.Fatalf("%s missing: Latest = %s", name, got)
		}
		if err := os.WriteFile(p, whole, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, _, _, _ := Latest(dir); got != newest {
		t.Fatalf("restored: Latest = %s", got)
	}
}

// A write that fails half-way (a full disk) leaves the previous state alone.
func TestFailedSaveChangesNothing(t *testing.T) {
	dir := t.TempDir()
	want := save(t, dir, 3, "good")
	full := errors.New("no space left on device")
	for _, step := range []int{3, 4} {
		_, err := Save(dir, step, []File{{"state.json", func(w io.Writer) error {
			io.WriteString(w, "half")
			return full
		}}})
		if !errors.Is(err, full) {
			t.Fatalf("Save = %v, want the cause", err)
		}
		if got, _, skipped, err := Latest(dir); err != nil || got != want || len(skipped) != 0 {
			t.Fatalf("Latest = %s, %v, %v", got, skipped, err)
		}
	}
	left, _ := filepath.Glob(filepath.Join(dir, tempPrefix+"*"))
	if len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A step that is saved again does not touch what was there: a crash at any
// moment leaves one whole checkpoint of the step.
func TestSavingAStepAgain(t *testing.T) {
	dir := t.TempDir()
	old := save(t, dir, 7, "old")
	p := save(t, dir, 7, "new")
	if p == old {
		t.Fatal("the first checkpoint was overwritten")
	}
	for path, want := range map[string]string{old: "oldold", p: "newnew"} {
		if b, err := os.ReadFile(filepath.Join(path, "tensors")); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", path, b, err)
		}
	}
	if got, _, _, err := Latest(dir); err != nil || got != p {
		t.Fatalf("Latest = %s, %v; want the second attempt", got, err)
	}
	if got, err := At(dir, 7); err != nil || got != p {
		t.Fatalf("At = %s, %v; want the second attempt", got, err)
	}
	if _, err := At(dir, 8); !errors.Is(err, ErrNone) {
		t.Fatalf("At a step that was not saved: %v", err)
	}
	if err := Prune(dir, 2, p); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); len(got) != 1 || filepath.Join(dir, got[0]) != p {
		t.Errorf("left %v, want the second attempt", got)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, d := range all {
		out = append(out, d.Name())
	}
	return out
}

func TestPruneKeepsNewestAndSpared(t *testing.T) {
	dir := t.TempDir()
	last := ""
	for s := 1; s <= 6; s++ {
		last = save(t, dir, s, "x")
	}
	if err := os.Mkdir(filepath.Join(dir, tempPrefix+"123"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Prune(dir, 2, last, 3); err != nil {
		t.Fatal(err)
	}
	want := []string{"step-00000003", "step-00000005", "step-00000006"}
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("left %v, want %v", got, want)
	}
}

// Damaged checkpoints newer than the one just saved, as after a resume from an
// older one, must neither count nor survive.
func TestPruneDoesNotCountDamaged(t *testing.T) {
	dir := t.TempDir()
	save(t, dir, 100, "x")
	for _, step := range []int{200, 250} {
		if err := os.Truncate(filepath.Join(save(t, dir, step, "y"), "tensors"), 1); err != nil {
			t.Fatal(err)
		}
	}
	saved := save(t, dir, 150, "z")
	for _, keep := range []int{2, 1} {
		if err := Prune(dir, keep, saved); err != nil {
			t.Fatal(err)
		}
		if got, _, _, err := Latest(dir); err != nil || got != saved {
			t.Fatalf("keep %d: Latest = %s, %v; want %s", keep, got, err, saved)
		}
		if got := names(t, dir); len(got) != keep {
			t.Errorf("keep %d: left %v", keep, got)
		}
	}
}
