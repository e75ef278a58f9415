package objective

import (
	"slices"

	"concord/moo"
)

// Compares says that the method of this name weighs the tasks of a step against each
// other, by their gradients or losses: with one task in the step it does nothing.
func Compares(name string) bool {
	return slices.ContainsFunc(moo.Methods(), func(m moo.Info) bool { return m.Name == name && m.Needs != moo.NeedsNothing })
}
