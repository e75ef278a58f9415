package train

import (
	"fmt"

	"concord/internal/fault"
	"concord/internal/report"
)

// The kinds of failure that a caller tells apart, with errors.Is; cmd/concord
// gives each its exit code. Configuration errors are *config.Error.
var (
	ErrData        = fault.ErrData
	ErrDevice      = fault.ErrDevice
	ErrDiverged    = fault.ErrDiverged
	ErrInterrupted = fault.ErrInterrupted
	ErrCluster     = fault.ErrCluster
)

func as(kind, err error) error { return fault.As(kind, err) }

func classify(err error) error { return fault.Classify(err) }

// DataError marks err as the fault of a data or model file.
func DataError(err error) error { return fault.Data(err) }

// DeviceError marks err as the device's fault.
func DeviceError(err error) error { return fault.Device(err) }

// interrupted says how to go on.
func interrupted(dir string, step int) error {
	return as(ErrInterrupted, fmt.Errorf("interrupted after step %d; everything is saved. Continue with:\n  %s\nor take the "+
		"model as it is:\n  %s", step, report.Command("resume", dir), report.Command("export", dir)))
}
