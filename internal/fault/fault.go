// Package fault has the kinds of failure that a user is told apart: each has its
// exit code. Mistakes of the user's are told by IsUsage.
package fault

import (
	"errors"

	"concord/gpu"
)

// The kinds, for errors.Is.
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

// As marks err as one of a kind; nil stays nil.
func As(kind, err error) error {
	if err == nil {
		return nil
	}
	return &kindError{kind, err}
}

// Data marks err as the fault of a data or model file.
func Data(err error) error { return As(ErrData, err) }

// Device marks err as the device's fault.
func Device(err error) error { return As(ErrDevice, err) }

// Cluster marks err as the fault of other machines or of the network.
func Cluster(err error) error { return As(ErrCluster, err) }

// Classify gives an error of the packages below its kind, if it has none.
func Classify(err error) error {
	switch {
	case err == nil, errors.Is(err, ErrData), errors.Is(err, ErrDevice), errors.Is(err, ErrDiverged), errors.Is(err, ErrInterrupted):
		return err
	case errors.Is(err, gpu.ErrDevice), errors.Is(err, gpu.ErrNoAdapter):
		return Device(err)
	}
	return err
}
