// Package protocol is the language of a run's machines: their messages, and the pure
// computations on which both sides must agree. Assign cuts a batch into shares, Owners
// and Place give each group an owner, Cost counts the bytes, Sum adds up rows in one
// order, in any order of arrival.
//
// The package has no state, no goroutine and no device.
package protocol
