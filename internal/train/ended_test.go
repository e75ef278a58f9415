package train

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"concord/gpu"
	"concord/internal/cluster/protocol"
	"concord/internal/cluster/worker"
	"concord/transport"
)

// Whatever ends a worker's part in a run is of one kind, by which the program chooses its exit code, and says
// what the coordinator said.
func TestEnded(t *testing.T) {
	kinds := []error{ErrData, ErrDevice, ErrDiverged, ErrInterrupted, ErrCluster}
	for name, c := range map[string]struct{ err, kind error }{
		"revoked":           {fmt.Errorf("%w: %s", worker.ErrBanned, protocol.RevokedText), ErrCluster},
		"banned":            {fmt.Errorf("%w: why", worker.ErrBanned), ErrCluster},
		"not proved":        {fmt.Errorf("%w: why", transport.ErrProof), ErrCluster},
		"machine 1 is gone": {fmt.Errorf("%w: why", worker.ErrLost), ErrCluster},
		"the run stopped":   {&worker.EndedError{End: protocol.End{Text: "why"}}, ErrInterrupted},
		"left":              {fmt.Errorf("why: %w", context.Canceled), ErrInterrupted},
		"a device":          {fmt.Errorf("%w: why", gpu.ErrDevice), ErrDevice},
		"not finite":        {as(ErrDiverged, errors.New("why")), ErrDiverged},
		"anything else":     {errors.New("why"), nil},
	} {
		got := ended(c.err)
		for _, k := range kinds {
			if errors.Is(got, k) != (k == c.kind) {
				t.Errorf("%s: %v, of the kind %v: %v", name, got, k, errors.Is(got, k))
			}
		}
		if text := fmt.Sprint(got); name != "left" && !strings.Contains(text, "why") && !strings.Contains(text, protocol.RevokedText) {
			t.Errorf("%s: says %q", name, text)
		}
	}
	for _, err := range []error{nil, &worker.EndedError{End: protocol.End{Finished: true}}} {
		if got := ended(err); got != nil {
			t.Errorf("a finished run: %v", got)
		}
	}
}
