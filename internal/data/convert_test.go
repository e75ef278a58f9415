package data

import (
	"strings"
	"testing"
)

// Every form becomes our own, and our own stays as it is.
func TestConvert(t *testing.T) {
	for _, c := range []struct{ file, text, want string }{
		{"a.txt", "one\ntwo\n\nthree", `{"text":"one\ntwo"}` + "\n" + `{"text":"three"}`},
		{"a.csv", "prompt,completion,n\na,<b>,1\n", `{"prompt":"a","completion":"<b>"}`},
		{"a.jsonl", `{"instruction":"q","input":"i","output":"a"}`, `{"messages":[{"content":"q\n\ni","role":"user"},{"content":"a","role":"assistant"}]}`},
		{"a.jsonl", `{"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}]}`, `{"messages":[{"content":"q","role":"user"},{"content":"a","role":"assistant"}]}`},
		{"a.json", `[{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":null,"tool_calls":[1]},{"role":"assistant","content":"a","weight":0}],"tools":[2]}]`,
			`{"messages":[{"content":"q","role":"user"},{"content":null,"role":"assistant","tool_calls":[1]},{"content":"a","role":"assistant","weight":0}],"tools":[2]}`},
	} {
		text := c.text
		for _, file := range []string{c.file, "again.jsonl"} { // the second time from what the first has written
			var b strings.Builder
			n, err := Convert(Source{Lang: "l", Paths: []string{write(t, file, text)}, Train: true}, &b, 0, func(string, ...any) {})
			if err != nil || strings.TrimSpace(b.String()) != c.want || n != strings.Count(c.want, "\n")+1 {
				t.Errorf("%s: %d documents, %v:\n%s\nwant\n%s", file, n, err, b.String(), c.want)
			}
			text = b.String()
		}
	}
	var b strings.Builder
	if n, err := Convert(Source{Lang: "l", Paths: []string{write(t, "a.txt", numbered(9, "%d\n\n"))}, Train: true}, &b, 4,
		func(string, ...any) {}); n != 4 || err != nil || strings.Count(b.String(), "\n") != 4 {
		t.Errorf("%d documents of 4, %v: %s", n, err, b.String())
	}
}
