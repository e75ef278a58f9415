package study

import (
	"bytes"
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"concord/internal/config"
	"concord/internal/train"
	"concord/internal/train/traintest"
)

// TestChanges: settings and files that differ, or stand on one side only, are named, and
// no more than a few.
func TestChanges(t *testing.T) {
	a := Pinned{Settings: map[string]any{"a": 1.0, "gone": "x", "e": ""}, Files: map[string]string{"f": "1", "g": "1"}}
	b := Pinned{Settings: map[string]any{"a": 1.0, "new": true, "e": "y"}, Files: map[string]string{"f": "1", "g": "2"}}
	want := []string{`e was "" and is y`, "gone was x and is not set", "new was not set and is true", "g has changed"}
	if got := a.Changes(b); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := a.Changes(a); got != nil {
		t.Errorf("of itself: %q", got)
	}
	many := Pinned{Files: map[string]string{}}
	for _, f := range strings.Split("abcdefgh", "") {
		many.Files[f] = "1"
	}
	if got := many.Changes(Pinned{}); len(got) != mostChanges+1 || got[mostChanges] != "and 3 more" {
		t.Errorf("%q", got)
	}
}

// TestNewerSettings: a setting that was not there when a study began had its usual value,
// any setting; another value is a change, and so is one that is gone.
func TestNewerSettings(t *testing.T) {
	cfg, err := config.Load(traintest.Run(t, nil), []string{"objective.preferences.aa=2.0"})
	if err != nil {
		t.Fatal(err)
	}
	now, err := Pin(train.Vary(cfg), []string{"log.", "run.name"})
	if err != nil {
		t.Fatal(err)
	}
	usual, given := 0, 0
	for key, value := range now.Settings {
		before := Pinned{Settings: maps.Clone(now.Settings), Files: now.Files}
		delete(before.Settings, key)
		got := before.Changes(now)
		v, known := config.Usual(key)
		if b, err := json.Marshal(v); err != nil {
			t.Fatal(err)
		} else if same, err := json.Marshal(value); err != nil {
			t.Fatal(err)
		} else if known && bytes.Equal(b, same) {
			if usual++; got != nil {
				t.Errorf("without %s: %q", key, got)
			}
		} else if given++; len(got) != 1 || !strings.HasPrefix(got[0], key+" was ") {
			t.Errorf("without %s, which is %v: %q", key, value, got)
		}
	}
	if usual < 80 || given < 10 {
		t.Errorf("%d usual settings and %d others were tried", usual, given)
	}
	before := Pinned{Settings: maps.Clone(now.Settings), Files: now.Files}
	before.Settings["gone.by"] = 1.0
	if got := before.Changes(now); !slices.Equal(got, []string{"gone.by was 1 and is not set"}) {
		t.Errorf("%q", got)
	}
}

// TestLock: what is pinned comes back as it was, the keys of an embedding lock beside it.
func TestLock(t *testing.T) {
	type lock struct {
		Steps int `json:"steps"`
		Pinned
	}
	path := filepath.Join(t.TempDir(), "lock.json")
	var got lock
	if there, err := ReadLock(path, &got); there || err != nil {
		t.Errorf("none: %v, %v", there, err)
	}
	want := lock{3, Pinned{Settings: map[string]any{"a": []any{"x", 2.0}}, Files: map[string]string{"f": "1"}}}
	if err := WriteLock(path, want); err != nil {
		t.Fatal(err)
	}
	if there, err := ReadLock(path, &got); !there || err != nil || got.Steps != 3 || want.Changes(got.Pinned) != nil {
		t.Errorf("%+v, %v, %v", got, there, err)
	}
	b, err := json.Marshal(want)
	if err != nil || string(b) != `{"steps":3,"settings":{"a":["x",2]},"files":{"f":"1"}}` {
		t.Errorf("%s, %v", b, err)
	}
}

func TestOnce(t *testing.T) {
	var out strings.Builder
	n := 0
	w := &Once{W: &out, Before: func() { n++ }}
	for _, line := range []string{"a\n", "b\n", "a\n"} {
		if k, err := w.Write([]byte(line)); k != len(line) || err != nil {
			t.Errorf("%d, %v", k, err)
		}
	}
	if out.String() != "a\nb\n" || n != 2 {
		t.Errorf("%q, %d", out.String(), n)
	}
}
