//go:build !cgo || js

package gpu

import (
	"errors"
	"strings"
	"testing"
)

// TestNoDriver: a program without a driver says that it was built so.
func TestNoDriver(t *testing.T) {
	_, err := Open(Options{})
	_, all := Adapters()
	for _, err := range []error{err, all} {
		if !errors.Is(err, ErrNoAdapter) || !strings.Contains(err.Error(), "CGO_ENABLED=1") {
			t.Errorf("error %v, want ErrNoAdapter that says how to build", err)
		}
	}
}
