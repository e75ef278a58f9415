package protocol

import (
	"encoding/json"
	"testing"
)

// Text of several lines in any script is taken, control characters are not.
func TestCheckText(t *testing.T) {
	if err := CheckText("", json.RawMessage(`{"template": "two\nlines\tof \u0939\u093f\u0928\u094d\u0926\u0940"}`)); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{`{"run": {"name": "\u001b[31mred"}}`, `["\u001b"]`, `{"a\u0007": 1}`} {
		if CheckText("", json.RawMessage(bad)) == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
