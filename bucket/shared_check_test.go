package bucket

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// Another machine's message on a group is refused before it is imported, where importing it
// would end the step: of wrong sizes, with a norm that is none, with nothing left to
// resolve, or with a state that the solver refuses.
func TestSharedMessagesAreChecked(t *testing.T) {
	state := func(b []byte) error {
		if string(b) != `"right"` {
			return errors.New("a wrong state")
		}
		return nil
	}
	const objectives = 3
	tokens := []int{5, 0, 7}
	for _, c := range []struct{ meta, want string }{
		{`{"norm2":0.5,"state":"right"}`, ""},
		{`{"norm2":0,"g":[1,0,1,null,0,1],"weights":[0.5,0,0.5],"negative":1,"pairs":3,"min_cosine":-0.5,"non_finite":[2]}`, ""},
		{`{`, "JSON"},
		{`null`, ""},
		{`{"norm2":1,"g":[1,2]}`, "Gram"},
		{`{"norm2":1,"halves":[1,2]}`, "Gram"},
		{`{"norm2":1,"weights":[1]}`, "1 weights"},
		{`{"norm2":-1}`, "|g|²"},
		{`{"norm2":null}`, "|g|²"},
		{`{"norm2":1,"pairs":-1}`, "pairs"},
		{`{"norm2":1,"pairs":3,"negative":4}`, "pairs"},
		{`{"norm2":1,"pairs":1000000}`, "pairs"},
		{`{"norm2":1,"non_finite":[3]}`, "objectives [3]"},
		{`{"norm2":1,"non_finite":[-1]}`, "objectives [-1]"},
		{`{"norm2":1,"non_finite":[1,1]}`, "objectives [1 1]"},
		{`{"norm2":1,"non_finite":[0,2]}`, "all of 2"},
		{`{"norm2":1,"state":"wrong"}`, "a wrong state"},
	} {
		err := CheckShared([]byte(c.meta), objectives, tokens, state)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, not %q", c.meta, err, c.want)
		}
	}
}

// FuzzShared: what passes the check can be decoded and imported.
func FuzzShared(f *testing.F) {
	f.Add([]byte(`{"norm2":1,"g":[1,0,1],"weights":[1,0],"non_finite":[1]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if CheckShared(b, 2, nil, func([]byte) error { return nil }) != nil {
			return
		}
		var s sharedGroup
		if err := json.Unmarshal(b, &s); err != nil {
			t.Fatal(err)
		}
		if _, err := square(s.G, 2); err != nil || !(s.Norm2 >= 0) {
			t.Fatalf("%s passes", b)
		}
	})
}
