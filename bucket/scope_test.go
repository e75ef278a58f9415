package bucket

import "testing"

// named are the scopes of tests by name.
var named = map[string]Scope{"tensor": ByTensor, "layer": ByLayer, "1MB": BySize(1 << 20), "global": Global}

// A size of nothing is no other scope.
func TestBySize(t *testing.T) {
	same := BySize(5)
	if same != BySize(5) || BySize(0) == ByLayer || BySize(-1) != BySize(1) || BySize(5) == BySize(6) {
		t.Error("sizes are mistaken for each other")
	}
}
