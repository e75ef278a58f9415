package data

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// largeFile is a file whose tokens are kept.
func largeFile(t *testing.T) string {
	t.Helper()
	was := cacheFrom
	cacheFrom = 1 << 16
	t.Cleanup(func() { cacheFrom = was })
	var b strings.Builder
	pad := strings.Repeat("x", 1<<10)
	for i := 0; b.Len() < 1<<17; i++ {
		fmt.Fprintf(&b, "{\"prompt\":\"%d\",\"completion\":\" %d %s\",\"id\":1}\n", i, i%50, pad[:i%len(pad)])
	}
	return write(t, "a.jsonl", b.String())
}

// Tokens of a large file are kept, found again by the content of everything that
// decides them, equal to those made in memory; and a damaged file is made anew.
func TestCache(t *testing.T) {
	path, dir := largeFile(t), filepath.Join(t.TempDir(), "tokens")
	tok := withBOS(t)
	src := Source{Lang: "l", Paths: []string{path}, Train: true, Holdout: 0.01}
	load := func(src Source, opt Options) *Set {
		t.Helper()
		set, err := Load(src, tok, opt)
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	files := func() map[string]os.FileInfo {
		out := map[string]os.FileInfo{}
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				t.Fatal(err)
			}
			out[e.Name()] = info
		}
		return out
	}
	opt := Options{MaxLen: 1 << 12, Cache: dir}
	want, kept := load(src, Options{MaxLen: 1 << 12}), load(src, opt)
	first := files()
	if len(first) != 2 {
		t.Fatalf("files %v", first)
	}
	again := load(src, opt)
	for name, info := range files() {
		if strings.HasSuffix(name, idsSuffix) && !os.SameFile(info, first[name]) {
			t.Errorf("%s was made again", name)
		}
	}
	for _, got := range []*Set{kept, again} {
		if got.TrainStats != want.TrainStats || got.HeldoutStats != want.HeldoutStats || !reflect.DeepEqual(got.Notes, want.Notes) ||
			len(want.Notes) == 0 {
			t.Fatalf("stats %+v %+v %q, want %+v %+v %q", got.TrainStats, got.HeldoutStats, got.Notes, want.TrainStats, want.HeldoutStats,
				want.Notes)
		}
		for _, i := range []int{0, 1, 77, got.Train.Len() - 1} {
			if a, b := at(t, got.Train, i), at(t, want.Train, i); !reflect.DeepEqual(a, b) {
				t.Errorf("example %d differs", i)
			}
		}
	}
	load(Source{Lang: "other", Paths: []string{path}, Train: true}, opt) // language and holdout decide no token
	if n := len(files()); n != 2 {
		t.Errorf("%d files after another language", n)
	}
	all := src
	all.TrainOn = "all"
	load(all, opt)
	if n := len(files()); n != 4 {
		t.Errorf("%d files after another mask, want 4", n)
	}
	for name := range first {
		full := filepath.Join(dir, name)
		for kind, damage := range map[string]func(){
			"cut short": func() { os.Truncate(full, first[name].Size()/2) },
			"empty":     func() { os.Truncate(full, 0) },
			"gone":      func() { os.Remove(full) },
		} {
			damage()
			if got := load(src, opt); got.TrainStats != want.TrainStats || !reflect.DeepEqual(at(t, got.Train, 5), at(t, want.Train, 5)) {
				t.Errorf("%s %s: other tokens", name, kind)
			}
		}
	}
	for name := range files() {
		if strings.HasSuffix(name, ".tmp") {
			t.Errorf("%s is left", name)
		}
	}
}

// A changed byte of the documents is noticed.
func TestDamagedDocs(t *testing.T) {
	f := (&Source{Lang: "l"}).files([]string{write(t, "a.txt", numbered(50, "la frase %d\n\n"))}, false)
	enc, err := newEncoder(withBOS(t), "", Options{})
	if err != nil {
		t.Fatal(err)
	}
	key, err := f.key(enc)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x")
	if _, err := f.keep(enc, path, key); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path + docsSuffix)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(whole); i += 13 {
		b := append([]byte(nil), whole...)
		b[i] ^= 1
		if err := os.WriteFile(path+docsSuffix, b, 0o644); err != nil {
			t.Fatal(err)
		}
		if openCached(path) != nil {
			t.Fatalf("byte %d of %d may change", i, len(whole))
		}
	}
}

// An error in a later document ends the work with its place, and leaves nothing.
func TestCacheOfFaultyFile(t *testing.T) {
	path, dir := largeFile(t), filepath.Join(t.TempDir(), "tokens")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(b, "{broken\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(Source{Lang: "l", Paths: []string{path}, Train: true}, withBOS(t), Options{Cache: dir}); err == nil ||
		!strings.Contains(err.Error(), "not JSON") {
		t.Errorf("error %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("left: %v", entries)
	}
}

// A file of ids that cannot be read is the batch's error, not the end of the process.
func TestBatchOfUnreadableTokens(t *testing.T) {
	set, err := Load(Source{Lang: "l", Paths: []string{write(t, "a.txt", numbered(50, "la frase %d\n\n"))}, Train: true, Holdout: 5},
		withBOS(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSampler([]*Set{set}, SamplerOptions{Rows: 2, SeqLen: 64})
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewEvaluation([]Examples{set.Heldout}, 2, 64)
	if err != nil {
		t.Fatal(err)
	}
	if s.Batch(0).Err != nil || e.Batch(0).Err != nil {
		t.Fatal("unreadable before it is closed")
	}
	set.Train.(*fileExamples).stretches[0].file.ids.Close()
	if b := s.Batch(0); b.Err == nil || !strings.Contains(b.Err.Error(), idsSuffix) {
		t.Errorf("the batch's error is %v", b.Err)
	}
	if b := e.Batch(0); b.Err == nil {
		t.Error("the evaluation's batch has no error")
	}
	if b := joined(s.Batch(0), s.Batch(1)); b.Err == nil {
		t.Error("the joined batch has no error")
	}
}

// joined is two batches as one.
func joined(a, b *Batch) *Batch { all, _ := Join([]*Batch{a, b}); return all }

// Long work is not silent: a file's documents are counted up to its last.
func TestProgress(t *testing.T) {
	was := progressEvery
	progressEvery = 0
	defer func() { progressEvery = was }()
	last, calls := 0, 0
	path := write(t, "a.txt", numbered(5*chunkDocs, "la frase %d\n\n"))
	_, err := Load(Source{Lang: "l", Paths: []string{path}, Train: true}, withBOS(t), Options{Progress: func(p string, docs int) {
		if p != path || docs <= last {
			t.Errorf("%s: %d documents after %d", p, docs, last)
		}
		last, calls = docs, calls+1
	}})
	if err != nil || last != 5*chunkDocs || calls < 5 {
		t.Errorf("%d documents in %d calls, %v", last, calls, err)
	}
}
