package step

import (
	"errors"
	"math"

	"concord/bucket"
	"concord/gpu"
	"concord/internal/optim"
)

// updater is when the gradients of a step are applied.
type updater interface {
	// begin opens the update of step n, of so many supervised tokens by language.
	begin(n int, supervised []int)
	// finish ends it, and returns the factor by which clipping scaled the gradients.
	finish(groups bucket.Report, n int) (clip float64, err error)
	// undo gives all states back the values that they held at begin.
	undo() error
}

// newUpdater is the updater that the configuration asks for.
func (r *Replica) newUpdater() updater {
	if r.Settings.InBackward {
		return &inBackward{r: r}
	}
	return atEnd{r}
}

// atEnd applies all gradients when all are there.
type atEnd struct{ r *Replica }

func (atEnd) begin(int, []int) {}

func (u atEnd) finish(groups bucket.Report, n int) (float64, error) {
	return u.r.Adam.Step(groups, u.r.LR(n))
}

func (atEnd) undo() error { return nil }

// inBackward applies each gradient as soon as it is resolved (LOMO, arXiv:2306.09782): it
// is the resolver's bucket.Updater. The norm that clipping goes by is the last step's. In
// the first step, which has none before it, each group is clipped by itself: n of N
// values to clip·√(n/N). Until the step ends, on many machines until it is committed, host
// memory holds the states as they were before, so that a value found late that is not
// finite, and a step that others do again, leave no half of a step.
type inBackward struct {
	r       *Replica
	lr      float64
	scale   float64 // of the group being applied
	least   float64 // of all groups
	tasks   int     // languages with supervised tokens
	left    int     // groups to come
	unknown bool    // of a group that is applied the norm is not known yet
	saved   []saved
	applied map[int]bool // groups
	come    int          // so many of them, the first ones, have been waited for
	onWay   int64        // bytes of the others
	way     int64        // most of them; 0: not known yet
}

// saved is a piece of a state of a parameter before the update.
type saved struct {
	group int
	view  gpu.View
	read  *gpu.Readback
	data  []byte
}

func (u *inBackward) begin(n int, supervised []int) {
	u.lr, u.least, u.tasks, u.left = u.r.LR(n), 1, supervisedTasks(supervised), len(u.r.Store.Layout.Groups)
	u.saved, u.come, u.onWay, u.unknown, u.applied = nil, 0, 0, false, map[int]bool{}
}

// Group implements bucket.Updater.
func (u *inBackward) Group(i int, rep bucket.BucketReport, norm2 func() (float64, error)) error {
	u.left--
	nf := &optim.NonFiniteError{Step: u.r.Adam.Steps() + 1, Norm: math.NaN(), Bucket: rep.Name}
	if n := len(rep.NonFinite); n > 0 && n >= u.tasks {
		return nf
	}
	u.scale = 1
	known := rep.Normed()
	first := u.r.Adam.Steps() == 0
	if known || u.clips() && first {
		sum, err := norm2()
		if err != nil {
			return err
		}
		if known = true; math.IsNaN(sum) || math.IsInf(sum, 0) {
			nf.Norm = math.Sqrt(sum)
			return nf
		}
		u.scale = u.groupScale(sum, rep.Size)
	}
	if !first {
		u.scale = u.r.Adam.ClipScale(u.r.Norm)
	}
	u.least = min(u.least, u.scale)
	u.applied[i] = true
	if u.unknown = u.unknown || !known; u.left == 0 && !u.unknown && !u.r.needs.Undo { // nothing can fail any more
		return nil
	}
	return u.save(i)
}

// Again implements bucket.Updater.
func (u *inBackward) Again(i int) error {
	if !u.applied[i] {
		return nil
	}
	delete(u.applied, i)
	u.left++
	return u.restore(func(x saved) bool { return x.group == i })
}

func (u *inBackward) clips() bool { return u.r.Settings.Optim.Clip > 0 }

// groupScale clips a group of the first step.
func (u *inBackward) groupScale(norm2 float64, size int) float64 {
	all := 0
	for _, g := range u.r.Store.Layout.Groups {
		all += g.Size
	}
	return u.r.Adam.ClipScale(math.Sqrt(norm2 * float64(all) / float64(size)))
}

// Apply implements bucket.Updater.
func (u *inBackward) Apply(p bucket.Place, gradient bucket.Pieces) {
	u.r.Adam.Apply(p, gradient, u.lr, u.scale)
}

// Pieces in which states are read, and how much of them is on its way at a time, which
// takes device memory: a 256th of the states, between these.
const (
	savedPiece                  = 512 << 10
	leastOnWay, mostOnWay       = 2 << 20, 8 << 20
	savedShare            int64 = 256
)

// HostBytes is the host memory that a step keeps of the states before it.
func (r *Replica) HostBytes() (n int64) {
	if r.Settings.InBackward {
		for b := range r.Store.Layout.Buckets {
			for _, state := range r.States() {
				n += r.Store.Buffer(state, b).Size()
			}
		}
	}
	return n
}

// wayBytes is how much of the states is on its way at a time.
func (u *inBackward) wayBytes() int64 {
	if u.way == 0 {
		u.way = min(max(u.r.HostBytes()/savedShare, leastOnWay), mostOnWay)
	}
	return u.way
}

// save starts reading the states of group i.
func (u *inBackward) save(i int) error {
	s := u.r.Store
	for _, b := range s.Layout.Groups[i].Buckets {
		for _, p := range s.Layout.Buckets[b].Params {
			for _, state := range u.r.States() {
				if err := u.savePieces(i, s.Whole(state, p.Name).RawView()); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (u *inBackward) savePieces(i int, v gpu.View) error {
	for at := int64(0); at < v.Size; at += savedPiece {
		if u.come > 0 && u.r.Engine.Dev.Dry() { // as much is on its way as ever will be, and the rest is zeros, as large as the model
			return nil
		}
		part := gpu.View{Buf: v.Buf, Offset: v.Offset + at, Size: min(savedPiece, v.Size-at)}
		if err := u.await(u.wayBytes() - part.Size); err != nil {
			return err
		}
		u.saved = append(u.saved, saved{group: i, view: part, read: u.r.Engine.Dev.Read(part)})
		u.onWay += part.Size
	}
	return nil
}

// await waits until at most so many bytes are on their way.
func (u *inBackward) await(most int64) (err error) {
	for ; u.onWay > most; u.come++ {
		x := &u.saved[u.come]
		if x.data, err = x.read.Wait(); err != nil {
			return err
		}
		x.read = nil
		u.onWay -= x.view.Size
	}
	return nil
}

func (u *inBackward) finish(groups bucket.Report, _ int) (float64, error) {
	if math.IsNaN(groups.Norm) || math.IsInf(groups.Norm, 0) {
		nf := &optim.NonFiniteError{Step: u.r.Adam.Steps() + 1, Norm: groups.Norm}
		for _, b := range groups.Buckets {
			if nf.Bucket == "" && (math.IsNaN(b.Norm2) || math.IsInf(b.Norm2, 0)) {
				nf.Bucket = b.Name
			}
		}
		return 0, nf
	}
	if err := u.await(0); err != nil { // else the memory of copies on their way is not given back
		return 0, err
	}
	u.r.Adam.Done()
	u.r.Norm, u.saved, u.come, u.applied = groups.Norm, nil, 0, nil
	return u.least, nil
}

func (u *inBackward) undo() error {
	u.applied = nil
	return u.restore(func(saved) bool { return true })
}

// restore gives states back the values that they held at begin: those that of picks.
func (u *inBackward) restore(of func(saved) bool) error {
	err := u.await(0)
	var rest []saved
	for _, x := range u.saved {
		switch {
		case !of(x):
			rest = append(rest, x)
		case x.data != nil:
			u.r.Engine.Dev.Write(x.view, x.data)
		}
	}
	u.saved, u.come = rest, len(rest)
	return errors.Join(err, u.r.Engine.Dev.Err())
}
