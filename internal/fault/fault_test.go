package fault

import (
	"errors"
	"fmt"
	"testing"

	"concord/gpu"
)

func TestKinds(t *testing.T) {
	cause := errors.New("cause")
	for _, kind := range []error{ErrData, ErrDevice, ErrDiverged, ErrInterrupted, ErrCluster} {
		err := As(kind, cause)
		if !errors.Is(err, kind) || !errors.Is(err, cause) || err.Error() != "cause" || As(kind, nil) != nil {
			t.Errorf("%v: %v", kind, err)
		}
	}
	lost := fmt.Errorf("step 3: %w", gpu.ErrDevice)
	if err := Classify(lost); !errors.Is(err, ErrDevice) || err.Error() != lost.Error() {
		t.Error(err)
	}
	if err := Classify(Data(lost)); errors.Is(err, ErrDevice) {
		t.Error("an error that has a kind got another")
	}
	if Classify(cause) != cause {
		t.Error("an error of no kind was changed")
	}
}

// Mistakes of the user's are one kind, wrapped or not, and say the place and the fix.
func TestUsage(t *testing.T) {
	u := &Usage{Where: "--top-p", Msg: "7 is outside 0 < p ≤ 1", Fix: "--top-p 1"}
	if got, want := u.Error(), "--top-p: 7 is outside 0 < p ≤ 1\n  fix: --top-p 1"; got != want {
		t.Errorf("%q", got)
	}
	if !IsUsage(fmt.Errorf("here: %w", u)) || !IsUsage(&Setting{Key: "optim.lr"}) || IsUsage(Data(errors.New("x"))) || IsUsage(nil) {
		t.Error("the kind of a mistake is not known")
	}
}
