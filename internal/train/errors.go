package train

import (
	"errors"
	"fmt"
)

// The kinds of failure that a caller tells apart, with errors.Is; cmd/concord
// gives each its exit code. Configuration errors are *config.Error.
var (
	ErrData        = errors.New("data or model file")
	ErrDevice      = errors.New("device")
	ErrDiverged    = errors.New("diverged")
	ErrInterrupted = errors.New("interrupted")
	ErrCluster     = errors.New("the other machines of the run")
)

// kindError gives err a kind without changing its message.
type kindError struct{ kind, err error }

func (e *kindError) Error() string   { return e.err.Error() }
func (e *kindError) Unwrap() []error { return []error{e.kind, e.err} }

func as(kind, err error) error {
	if err == nil {
		return nil
	}
	return &kindError{kind, err}
}

// DataError marks err as the fault of a data or model file.
func DataError(err error) error { return as(ErrData, err) }

// DeviceError marks err as the device's fault.
func DeviceError(err error) error { return as(ErrDevice, err) }

// interrupted says how to go on.
func interrupted(dir string, step int) error {
	return as(ErrInterrupted, fmt.Errorf("interrupted after step %d; everything is saved. Continue with:\n  concord resume %s", step, dir))
}
