// Package cluster is one run on many machines: who takes part, which rows of a
// step's batch each worker computes, who owns which bucket, and how a step comes
// to be committed.
//
// A Coordinator (coordinator.go) is the one authority: it plans a step, waits
// for it to be done and commits it in a store. A Member (member.go) is a
// worker's side: it takes the plan, carries gradient rows to the buckets' owners
// and resolved gradients back (it is the exchange.Exchange of the step), and
// applies nothing before the step is committed. Decisions are pure functions
// (plan.go, deadline.go), sums do not depend on the order of arrival (sum.go).
//
// The package knows no device and no data: internal/train tells it what a step's
// rows are and takes the sums back.
package cluster
