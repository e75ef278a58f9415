// Package exchange is the interface between a bucket.Resolver and a run on many
// machines: rows of gradients go out, sums of rows and resolved gradients come in.
package exchange

// Kind is the kind of an Event.
type Kind int

// The kinds of events.
const (
	None     Kind = iota // nothing yet
	Sum                  // this machine owns the group: resolve its rows
	Gradient             // the group's owner has resolved it: take its gradient
	Final                // every group's gradient was handed over, and where each machine applies them the step is committed
)

// Event comes from the other machines.
type Event struct {
	Kind  Kind
	Group int
	// Sum: the group's gradient rows, nil for one that nobody sent; the supervised
	// tokens that each was computed from, and the sum of their losses, NaN where it
	// is not known.
	Rows   [][]float32
	Tokens []int
	Losses []float64
	// Gradient: the values, laid out as the group's buckets one after the other, nil
	// where the owner updates the weights itself, and the owner's report on them.
	Gradient []float32
	Meta     []byte
}

// Exchange is one step's traffic with the other machines. Push may be called
// from any goroutine, Next and Resolved from that of the backward pass.
type Exchange interface {
	// Rows lists the gradient rows that this machine's part of the batch belongs
	// to, ascending; none: it only follows.
	Rows() []int
	// Push hands over a group's rows, one for each of Rows; they are the exchange's
	// to keep. losses are the sums over the row's tokens.
	Push(group int, rows [][]float32, losses []float64)
	// Next is the next event: None without waiting where there is nothing yet. An
	// error ends the step: its gradients must not be applied.
	Next(wait bool) (Event, error)
	// Abort ends the step for this machine: its device failed.
	Abort(err error)
	// Resolved tells everybody the gradient of a group that this machine resolved,
	// and returns it as everybody gets it: that must be applied.
	Resolved(group int, gradient []float32, meta func(norm2 float64) []byte) ([]float32, error)
}
