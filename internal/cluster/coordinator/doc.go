// Package coordinator is the one authority of a run on many machines.
//
// A Coordinator admits workers, plans each step (shares, owners, sources of weights),
// waits for it to be done and commits it in a store. It decides which machine is late,
// cut off or at fault, and puts machines out for it. Its state belongs to one goroutine.
package coordinator
