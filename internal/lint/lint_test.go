package lint

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"concord/internal/data"
)

// find lints documents, which get numbers as lines.
func find(t *testing.T, docs ...data.Inspected) []Finding {
	t.Helper()
	for i := range docs {
		d := &docs[i]
		d.File, d.Line = "f", i+1
		if d.Lang == "" {
			d.Lang = "xx"
		}
		if d.Content == 0 {
			for _, c := range []byte(d.Given + "\x00" + d.Learnt) {
				d.Content = d.Content*31 + uint64(c)
			}
		}
	}
	each := func(yield func(*data.Inspected) error) error {
		for i := range docs {
			if err := yield(&docs[i]); err != nil {
				return err
			}
		}
		return nil
	}
	l := New(Options{Near: 0.8, Room: 1000})
	if err := each(func(d *data.Inspected) error { l.Add(d); return nil }); err != nil {
		t.Fatal(err)
	}
	out, err := l.Finish(each)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// has wants findings of the kinds with so many documents each, and no others.
func has(t *testing.T, found []Finding, want ...string) {
	t.Helper()
	var got []string
	for _, f := range found {
		got = append(got, fmt.Sprintf("%s %d", f.Kind, f.Count))
		if f.Text == "" || f.Fix == "" || len(f.Examples) == 0 || len(f.Examples) > examples || f.Of < f.Count {
			t.Errorf("%+v", f)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v: %+v", got, want, found)
	}
}

const story = "Once upon a time there was a small machine that learned the words of many languages, one after the other, until it knew them"

func TestSameAndNearlySame(t *testing.T) {
	has(t, find(t, data.Inspected{Learnt: story}, data.Inspected{Learnt: "another one altogether, of other words and letters"}))
	has(t, find(t, data.Inspected{Learnt: story}, data.Inspected{Learnt: story}, data.Inspected{Learnt: story}), "duplicate 2")
	has(t, find(t, data.Inspected{Learnt: story}, data.Inspected{Learnt: story, Lang: "yy"}), "across 1")
	has(t, find(t, data.Inspected{Learnt: "one"}, data.Inspected{Learnt: story}, data.Inspected{Learnt: "two"},
		data.Inspected{Learnt: "two"}, data.Inspected{Learnt: story}, data.Inspected{Learnt: "one"}), "duplicate 3")
	has(t, find(t, data.Inspected{Learnt: story}, data.Inspected{Learnt: story, Held: true}), "leak 1")
	has(t, find(t, data.Inspected{Learnt: story}, data.Inspected{Learnt: strings.ToUpper(story) + "!"}), "near 1")
	has(t, find(t, data.Inspected{Learnt: story}, data.Inspected{Learnt: story + " all", Lang: "yy"}), "near 1")
	for _, docs := range [][]data.Inspected{ // whichever comes first, the held-out one is told
		{{Learnt: story, Held: true, Lang: "hh"}, {Learnt: story + "."}},
		{{Learnt: story}, {Learnt: story + ".", Held: true, Lang: "hh"}},
	} {
		found := find(t, docs...)
		has(t, found, "leak 1")
		if found[0].Lang != "hh" || !strings.Contains(found[0].Examples[0], "≈") {
			t.Errorf("%+v", found)
		}
	}
	// a copy is told with its like in the other half of the data before one in its own
	has(t, find(t, data.Inspected{Learnt: story, Held: true}, data.Inspected{Learnt: story, Held: true},
		data.Inspected{Learnt: story}), "leak 1", "duplicate 1")
}

func TestTexts(t *testing.T) {
	for text, want := range map[string]string{
		"a fine answer, café “quoted” – and more": "", "CAFÉ” and IRMÃ— are words": "", "naïve Ångström, ½ °C": "",
		"broken \uFFFD letters": Damaged, "cafÃ© and naÃ¯ve": Damaged, "itâ€™s broken": Damaged, "Ð¿Ñ€Ð¸Ð²ÐµÑ‚": Damaged, "a bell \a": Damaged,
		"  \n": Empty,
	} {
		found := find(t, data.Inspected{Given: "q", Learnt: text})
		if want == "" {
			has(t, found)
			continue
		}
		has(t, found, want+" 1")
	}
	has(t, find(t, data.Inspected{Given: "q", Learnt: "a", TooLong: true}), "too-long 1")
	has(t, find(t, data.Inspected{Given: "q", Learnt: "a", Masked: true}), "empty 1")
	has(t, find(t, data.Inspected{Given: "q", Learnt: "a", BlankAnswer: true}), "empty 1")
}

func TestRoles(t *testing.T) {
	for roles, fault := range map[string]string{
		"system user assistant user assistant": "", "user assistant": "", "user assistant tool assistant": "", "developer system user assistant": "",
		"assistant user assistant": "first", "user assistant user": "last turn", "user user assistant": "in a row", "user assistant assistant": "in a row",
		"user assistant system user assistant": "after the first turn", "system": "without a turn",
	} {
		got := order(strings.Fields(roles))
		if (got == "") != (fault == "") || !strings.Contains(got, fault) {
			t.Errorf("%s: %q", roles, got)
		}
	}
}

func TestAgainstTheOthers(t *testing.T) {
	var docs []data.Inspected
	long := strings.Repeat("многие слова подряд ", 12)
	for i := range 30 {
		docs = append(docs, data.Inspected{Learnt: fmt.Sprintf("%d %s%s.", i, strings.Repeat(string(rune('а'+i)), 60), long)})
	}
	has(t, find(t, docs...))
	docs = append(docs, data.Inspected{Learnt: "these words are of another script"},
		data.Inspected{Learnt: strings.Repeat("другой текст кончается ", 10) + "и не"})
	has(t, find(t, docs...), "script 1", "cut-off 1")
	has(t, find(t, docs[28:]...)) // too few to say
}
