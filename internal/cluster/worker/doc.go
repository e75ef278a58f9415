// Package worker is a machine's side of the steps of a run on many machines.
//
// A Member takes the coordinator's plans. Its Step is the exchange.Exchange of one step:
// it carries gradient rows to the groups' owners and resolved gradients back. A caller that
// applies these before the step is committed takes them back where it is not. Member.State
// and Member.Offer carry weights to machines that join.
//
// The package knows no device and no data: internal/exchange describes a step's rows
// and takes the sums.
package worker
