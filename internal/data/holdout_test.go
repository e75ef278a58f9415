package data

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"concord/internal/chat"
)

func numbered(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// What is asked for is held out, to the document, of small files too; equal texts
// and prompts stay together, and nothing that is held out is trained on.
func TestHoldoutCounts(t *testing.T) {
	text := "{\"text\":\"hola %d\"}\n"
	for _, c := range []struct {
		name, file, text string
		holdout          float64
		want             int
	}{
		{"a share of a small file", "a.jsonl", numbered(30, text), 0.02, 1},
		{"the smallest", "a.jsonl", numbered(2, text), 0.01, 1},
		{"a share", "a.jsonl", numbered(1000, text), 0.1, 100},
		{"half", "a.jsonl", numbered(31, text), 0.5, 16},
		{"a number", "a.jsonl", numbered(1000, text), 200, 200},
		{"all but one", "a.jsonl", numbered(10, text), 9, 9},
		{"sentences", "a.txt", numbered(100, "la frase %d\n\n"), 0.1, 10},
		{"each text twice", "a.jsonl", strings.Repeat(numbered(50, text), 2), 0.1, 10},
		{"each text thrice", "a.jsonl", strings.Repeat(numbered(50, text), 3), 0.1, 15},
		{"one prompt for most", "a.jsonl", strings.Repeat("{\"prompt\":\"p\",\"completion\":\"x\"}\n", 900) + numbered(100, "{\"prompt\":\"p%d\",\"completion\":\"x\"}\n"), 0.05, 50},
		{"no prompt", "a.jsonl", numbered(100, "{\"prompt\":\"\",\"completion\":\"x%d\"}\n"), 0.1, 10},
		{"one system text", "a.jsonl", numbered(100, "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"q%[1]d\"},{\"role\":\"assistant\",\"content\":\"a\"}]}\n"), 0.1, 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			tok := withBOS(t)
			load := func(text string) *Set {
				set, err := Load(Source{Lang: "l", Paths: []string{write(t, c.file, text)}, Holdout: c.holdout, Train: true}, tok,
					Options{Template: plainChat(t)})
				if err != nil {
					t.Fatal(err)
				}
				return set
			}
			spell := func(e Examples) (out []string) {
				for _, x := range list(t, e) {
					out = append(out, show(t, tok, x))
				}
				slices.Sort(out)
				return out
			}
			set := load(c.text)
			held := spell(set.Heldout)
			if len(held) != c.want || set.HeldoutStats.Shared != 0 || set.Train.Len()+len(held) != set.TrainStats.Docs+set.HeldoutStats.Docs {
				t.Errorf("%d held out, %d also trained on; want %d of %d", len(held), set.HeldoutStats.Shared, c.want,
					set.TrainStats.Docs+set.HeldoutStats.Docs)
			}
			if c.file == "a.jsonl" {
				lines := strings.Split(strings.TrimSpace(c.text), "\n")
				slices.Reverse(lines)
				if other := spell(load(strings.Join(lines, "\n")).Heldout); !slices.Equal(held, other) {
					t.Errorf("another order holds out %q, not %q", other, held)
				}
			}
		})
	}
}

// Where nothing would be left to train on, the reason and the way out are said.
func TestHoldoutOfTooLittle(t *testing.T) {
	for _, c := range []struct {
		file, text string
		holdout    float64
		says       []string
	}{
		{"a.jsonl", numbered(2, "{\"text\":\"hola %d\"}\n"), 0.95, []string{"all 2 documents", "lower it"}},
		{"a.jsonl", numbered(10, "{\"text\":\"hola %d\"}\n"), 200, []string{"holdout = 200", "all 10 documents"}},
		{"a.jsonl", strings.Repeat("{\"text\":\"hola\"}\n", 10), 0.1, []string{"1 different"}},
		{"a.txt", numbered(100, "la frase %d\n"), 0.1, []string{"all 1 documents", `format = "lines"`}},
	} {
		_, err := Load(Source{Lang: "es", Paths: []string{write(t, c.file, c.text)}, Holdout: c.holdout, Train: true}, withBOS(t), Options{})
		for _, s := range append(c.says, `"es"`) {
			if err == nil || !strings.Contains(err.Error(), s) {
				t.Errorf("%.30q: error %v does not say %q", c.text, err, s)
			}
		}
	}
}

// Held-out text that is trained on is found wherever it is: in another source of the
// language, in another language, in another form of file, in a held-out file of a
// language that is not trained; and duplicates in a language's files together.
func TestSharedAcrossSources(t *testing.T) {
	texts := numbered(50, "{\"text\":\"hola %d\"}\n")
	all, some := write(t, "a.jsonl", texts), write(t, "h.jsonl", numbered(9, "{\"text\":\"hola %d\"}\n"))
	plain, other := write(t, "h.txt", numbered(9, " hola %d\n\n")), write(t, "o.jsonl", numbered(20, "{\"text\":\"other %d\"}\n"))
	for _, c := range []struct {
		name       string
		sources    []Source
		set        int
		shared     int
		duplicates int
	}{
		{"a held-out file", []Source{{Lang: "es", Paths: []string{all}, Heldout: []string{some}, Train: true}}, 0, 9, 0},
		{"two sources of one language", []Source{{Lang: "es", Paths: []string{all}, Holdout: 0.3, Train: true}, {Lang: "es", Paths: []string{all}, Train: true}}, 0, 15, 35},
		{"the other order", []Source{{Lang: "es", Paths: []string{all}, Train: true}, {Lang: "es", Paths: []string{all}, Holdout: 0.3, Train: true}}, 0, 15, 35},
		{"another language", []Source{{Lang: "gl", Paths: []string{other}, Heldout: []string{some}, Train: true}, {Lang: "es", Paths: []string{all}, Train: true}}, 0, 9, 0},
		{"a language that is only measured", []Source{{Lang: "es", Paths: []string{all}, Train: true}, {Lang: "gl", Heldout: []string{some}}}, 1, 9, 0},
		{"another form of file", []Source{{Lang: "es", Paths: []string{all}, Train: true}, {Lang: "gl", Paths: []string{plain}}}, 1, 9, 0},
		{"two files of one source", []Source{{Lang: "es", Paths: []string{all, some}, Train: true}}, 0, 0, 9},
		{"nothing", []Source{{Lang: "es", Paths: []string{other}, Heldout: []string{some}, Train: true}}, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			sets, err := LoadAll(c.sources, withBOS(t), Options{})
			if err != nil {
				t.Fatal(err)
			}
			s := sets[c.set]
			if s.HeldoutStats.Shared != c.shared || s.TrainStats.Duplicates != c.duplicates {
				t.Errorf("%d shared, %d duplicates; want %d, %d", s.HeldoutStats.Shared, s.TrainStats.Duplicates, c.shared, c.duplicates)
			}
			if said := strings.Contains(strings.Join(s.Notes, "\n"), "also trained on"); said != (c.shared > 0) {
				t.Errorf("notes %q", s.Notes)
			}
		})
	}
}

// The halves are disjoint, together what is held out, equal in size but for one
// group, in any order of the lines; what is left is what LoadAll trains on.
func TestDivide(t *testing.T) {
	var lines []string
	for i := range 21 {
		lines = append(lines, fmt.Sprintf(`{"prompt":"p%d","completion":"a"}`, i), fmt.Sprintf(`{"prompt":"p%d","completion":"b"}`, i))
	}
	divide := func(src Source) (train, valid, test []string, h *Halves) {
		t.Helper()
		var w [3]strings.Builder
		h, err := Divide(src, &w[0], &w[1], &w[2])
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(w[0].String(), "\n"), strings.Split(w[1].String(), "\n"), strings.Split(w[2].String(), "\n"), h
	}
	forward := write(t, "f.jsonl", "\uFEFF"+strings.Join(lines, "\r\n")+"\n\n")
	_, valid, test, h := divide(Source{Lang: "x", Heldout: []string{forward}})
	if h.Valid != 22 || h.Test != 20 || h.Train != 0 || len(valid) != 23 || len(test) != 21 {
		t.Errorf("halves %+v", h)
	}
	side := map[string]int{}
	for half, part := range [][]string{valid, test} {
		for _, line := range part {
			side[line] = half + 1
		}
	}
	for i, line := range lines {
		if side[line] == 0 || side[line] != side[lines[i/2*2]] {
			t.Errorf("%s is in half %d", line, side[line])
		}
	}
	slices.Reverse(lines)
	_, again, _, _ := divide(Source{Lang: "x", Heldout: []string{write(t, "b.jsonl", strings.Join(lines, "\n"))}})
	slices.Sort(valid)
	slices.Sort(again)
	if !slices.Equal(valid, again) {
		t.Error("another order, another half")
	}
	src := Source{Lang: "x", Paths: []string{write(t, "x.txt", numbered(60, "first of %d\nsecond\n\n"))}, Holdout: 0.3, Train: true}
	train, _, _, h := divide(src)
	set, err := Load(src, withBOS(t), Options{})
	if err != nil || h.Train != set.Train.Len() || h.Valid != 9 || h.Test != 9 {
		t.Errorf("%+v; LoadAll trains on %d, %v", h, set.Train.Len(), err)
	}
	left, err := Load(Source{Lang: "x", Paths: []string{write(t, "t.jsonl", strings.Join(train, "\n"))}, Train: true}, withBOS(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range left.Train.Len() {
		if a, b := show(t, withBOS(t), at(t, left.Train, i)), show(t, withBOS(t), at(t, set.Train, i)); a != b {
			t.Fatalf("document %d: %s, want %s", i, a, b)
		}
	}
	if _, _, _, h := divide(Source{Lang: "x", Paths: []string{forward}, Heldout: []string{forward}, Train: true}); h.Shared != 42 {
		t.Errorf("%d shared, want 42", h.Shared)
	}
}

// Conversations with one first question stay together, whatever the system text, the
// weights and the template; what is held out is what Divide holds out.
func TestHoldoutOfConversations(t *testing.T) {
	var b strings.Builder
	for i := range 60 { // 20 questions, each three times
		weight := ""
		if i%3 == 2 {
			weight = `,"weight":0`
		}
		fmt.Fprintf(&b, `{"messages":[{"role":"system","content":"s%d"},{"role":"user","content":"q%d"},{"role":"assistant","content":"a"%s},`+
			`{"role":"user","content":"more"},{"role":"assistant","content":"b"}]}`+"\n", i%3, i/3, weight)
	}
	src := Source{Lang: "l", Paths: []string{write(t, "a.jsonl", b.String())}, Holdout: 0.2, Train: true}
	question := regexp.MustCompile(`q\d+`)
	questions := func(texts []string) map[string]int {
		out := map[string]int{}
		for _, s := range texts {
			out[question.FindString(s)]++
		}
		return out
	}
	chatml, err := chat.Builtin("chatml")
	if err != nil {
		t.Fatal(err)
	}
	tok := withBOS(t)
	var train, valid, test strings.Builder
	if _, err := Divide(src, &train, &valid, &test); err != nil {
		t.Fatal(err)
	}
	want := questions(strings.Split(strings.TrimSpace(valid.String()+test.String()), "\n"))
	for name, opt := range map[string]Options{"plain": {Template: plainChat(t)}, "chatml": {Template: chatml}} {
		set, err := Load(src, tok, opt)
		if err != nil {
			t.Fatal(err)
		}
		spell := func(e Examples) (out []string) {
			for _, x := range list(t, e) {
				out = append(out, show(t, tok, x))
			}
			return out
		}
		held := questions(spell(set.Heldout))
		for q := range questions(spell(set.Train)) {
			if held[q] > 0 {
				t.Errorf("%s: question %s is held out and trained on", name, q)
			}
		}
		if !maps.Equal(held, want) || len(held) == 0 {
			t.Errorf("%s: held out %v, Divide holds out %v", name, held, want)
		}
	}
}
