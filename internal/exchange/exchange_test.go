package exchange

import (
	"testing"

	"concord/internal/step"
)

// Each exchange asks the device for what it needs, and one machine for nothing.
func TestNeeds(t *testing.T) {
	for o, want := range map[Options]step.Needs{
		{}:                              {},
		{Sharded: true, Local: true}:    {}, // without other machines
		{OuterSteps: 3}:                 {},
		{Machines: true}:                {Shared: true, AllRows: true, Undo: true},
		{Machines: true, Local: true}:   {Shared: true, AllRows: true, Undo: true},
		{Machines: true, Sharded: true}: {Shared: true, AllRows: true, HostMoments: true, Undo: true},
		{Machines: true, OuterSteps: 3}: {AllRows: true, Undo: true},
	} {
		if got := o.Needs(); got != want {
			t.Errorf("%+v needs %+v, want %+v", o, got, want)
		}
	}
}
