package data

import "testing"

// The column of languages is found by its name and its values, in every form of file.
func TestLanguageColumn(t *testing.T) {
	for _, c := range []struct{ file, text, want string }{
		{"a.jsonl", `{"inputs":"a","targets":"b","language":"Swahili"}` + "\n" + `{"inputs":"a","targets":"b","language":"Yoruba"}`, "language"},
		{"a.csv", "Lang,text\nsw,a\nyo,b\n", "Lang"},
		{"a.tsv", "text\tlocale\na\tsw\nb\tyo\n", "locale"},
		{"one.csv", "lang,text\nsw,a\nsw,b\n", ""},
		{"gap.csv", "lang,text\nsw,a\n,b\nyo,c\n", ""},
		{"null.jsonl", `{"text":"a","lang":"sw"}` + "\n" + `{"text":"a","lang":null}` + "\n" + `{"text":"a","lang":"yo"}`, ""},
		{"missing.jsonl", `{"text":"a","lang":"sw"}` + "\n" + `{"text":"a"}` + "\n" + `{"text":"a","lang":"yo"}`, ""},
		{"later.jsonl", `{"text":"a"}` + "\n" + `{"text":"a","lang":"sw"}` + "\n" + `{"text":"a","lang":"yo"}`, ""},
		{"two.jsonl", `{"text":"a","lang":"sw","LANG":"x"}` + "\n" + `{"text":"a","lang":"yo","LANG":"y"}`, "LANG"},
		{"numbers.jsonl", `{"text":"a","lang":1}` + "\n" + `{"text":"a","lang":2}`, ""},
		{"other.csv", "topic,text\nx,a\ny,b\n", ""},
		{"a.txt", "lang\n\ntext\n", ""},
		{"empty.jsonl", "", ""},
	} {
		if got, err := LanguageColumn(write(t, c.file, c.text)); got != c.want || err != nil {
			t.Errorf("%s: %q, %v, want %q", c.file, got, err, c.want)
		}
	}
	if _, err := LanguageColumn(write(t, "a.jsonl", "not JSON\n")); err == nil {
		t.Error("a faulty file has no error")
	}
}
