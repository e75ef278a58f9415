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
