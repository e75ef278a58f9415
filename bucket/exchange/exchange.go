// Package exchange is the interface between a bucket.Resolver and a run on many
// machines: rows of gradients go out, sums of rows and resolved gradients come in.
//
// Machines own slices: a resolve group, or a part of one. The owner of a group's first
// slice leads the group: it solves. Of a group in one slice the owner does everything at
// once. Of a group in several, each owner hands over the Gram of its slice's rows (Gram);
// when all are there the leader is asked to solve (Solve) and tells the solution (Solved),
// by which each owner combines its slice (Combine).
package exchange

// Kind is the kind of an Event.
type Kind int

// The kinds of events.
const (
	None     Kind = iota // nothing yet
	Sum                  // this machine owns the slice: resolve its rows
	Solve                // this machine leads the group: the Grams of all slices are there
	Combine              // this machine owns the slice, whose Gram it has handed over: the solution is there
	Gradient             // the slice's owner has resolved it: take its gradient
	Final                // every slice's gradient was handed over, and where each machine applies them the step is committed
)

// Event comes from the other machines.
type Event struct {
	Kind  Kind
	Slice int // of Solve the group's first
	// Epoch tells one attempt at a group from the next: an event of a later one makes all results
	// of earlier ones void, of every slice of the group.
	Epoch uint32
	// Sum: the slice's gradient rows, nil for one that nobody sent; the supervised
	// tokens that each was computed from, and the sum of their losses, NaN where it
	// is not known.
	Rows   [][]float32
	Tokens []int
	Losses []float64
	// Solve: the Grams of the group's slices in their order, as Gram was given them.
	Grams [][]float64
	// Combine: as Solved was given it.
	Solution []byte
	// Gradient: the values, laid out as the group's buckets one after the other, nil
	// where the owner updates the weights itself, and the owner's report on them.
	Gradient []float32
	Meta     []byte
}

// Exchange is one step's traffic with the other machines. Push may be called
// from any goroutine, the others from that of the backward pass. Gram, Solved and Resolved are
// given the Event that they answer: an answer to one of an earlier epoch is dropped.
type Exchange interface {
	// Rows lists the gradient rows that this machine's part of the batch belongs
	// to, ascending; none: it only follows.
	Rows() []int
	// Push hands over a slice's rows, one for each of Rows; they are the exchange's
	// to keep. losses are the sums over the row's tokens.
	Push(slice int, rows [][]float32, losses []float64)
	// Next is the next event: None without waiting where there is nothing yet. An
	// error ends the step: its gradients must not be applied.
	Next(wait bool) (Event, error)
	// Abort ends the step for this machine: its device failed.
	Abort(err error)
	// Gram answers Sum for a slice of several: the lower triangle of its rows' Gram, row by row;
	// nil where the solution does not depend on it.
	Gram(of Event, triangle []float64)
	// Solved answers Solve, or the Sum of a group's first slice where no Gram is needed.
	Solved(of Event, solution []byte)
	// Resolved answers Sum or Combine: it tells everybody the gradient of a slice that this
	// machine resolved, and returns it as everybody gets it: that must be applied.
	Resolved(of Event, gradient []float32, meta func(norm2 float64) []byte) ([]float32, error)
}
