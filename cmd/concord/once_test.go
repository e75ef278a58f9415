package main

import (
	"fmt"
	"strings"
	"testing"
)

// Two devices of one command say a warning once, and each other text.
func TestOnce(t *testing.T) {
	var out strings.Builder
	w := &once{out: &out}
	for _, s := range []string{"slow\n", "small\n", "slow\n"} {
		fmt.Fprint(w, s)
	}
	if out.String() != "slow\nsmall\n" {
		t.Errorf("%q", out.String())
	}
}
