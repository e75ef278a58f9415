package train

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"concord/bucket"
	"concord/internal/cluster/protocol"
	"concord/internal/config"
	"concord/internal/exchange"
	"concord/internal/report"
	"concord/internal/step"
	"concord/internal/train/traintest"
	"concord/moo"
	"concord/transport"
)

// gang is a run on many machines within the test's process: real devices, real
// QUIC over loopback.
type gang struct {
	t     testing.TB
	all   []*Trainer // all[0] leads
	end   func(error)
	close []func()
	line  transport.Line
	last  []report.Step // by machine: its latest step
}

// exact are the settings under which a run's bits do not depend on timing.
var exact = []string{"cluster.listen=127.0.0.1:0", "cluster.wire=f32", "cluster.shares=equal", "cluster.deadline=false",
	"cluster.silence=20"}

// sliced are the same with groups that have several owners.
var sliced = append(slices.Clone(exact), "cluster.slice=8KB")

// newGang starts a run of n machines; the first step waits for all of them.
// The overrides are of those who join.
func newGang(t testing.TB, cfg *config.Config, n int, overrides ...string) *gang {
	t.Helper()
	g := &gang{t: t}
	c := *cfg
	c.Cluster.Workers = n
	first, err := Open(&c, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(first.Close)
	g.lead(first)
	for range n - 1 {
		g.join(overrides...)
	}
	return g
}

// resumed stops the run after a checkpoint, and goes on from that with n machines.
func (g *gang) resumed(cfg *config.Config, n int) *gang {
	g.t.Helper()
	dir, first := g.t.TempDir(), g.all[0]
	if err := first.save(g.t.Context(), dir, state{Saved: first.saved()}); err != nil {
		g.t.Fatal(err)
	}
	g.stop()
	return resumeGang(g.t, cfg, dir, n)
}

// resumeGang is newGang from the newest checkpoint in dir.
func resumeGang(t testing.TB, cfg *config.Config, dir string, n int) *gang {
	t.Helper()
	c := *cfg
	c.Cluster.Workers = n
	cfg = &c
	path, err := latest(dir, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	s, err := readState(path, cfg)
	if err != nil {
		t.Fatal(err)
	}
	first, err := Open(cfg, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(first.Close)
	if err := first.restore(path, s); err != nil {
		t.Fatal(err)
	}
	g := &gang{t: t}
	g.lead(first)
	for range n - 1 {
		g.join()
	}
	return g
}

// lead starts machine 1.
func (g *gang) lead(first *Trainer) {
	g.t.Helper()
	var out bytes.Buffer
	end, err := first.lead(g.t.Context(), g.t.TempDir(), UI{Out: &out, Warn: &out})
	if err != nil {
		g.t.Fatal(err)
	}
	g.all, g.end = []*Trainer{first}, end
	if g.line, err = transport.ParseLine(regexp.MustCompile(`concord1/[^']*`).FindString(out.String())); err != nil {
		g.t.Fatal(err, out.String())
	}
}

// join adds a machine. It has the run's weights once somebody makes a step.
func (g *gang) join(overrides ...string) *Trainer {
	g.t.Helper()
	dir := g.t.TempDir()
	w, cfg, err := enlist(g.t.Context(), WorkOptions{Overrides: overrides}, g.line, dir, UI{Out: io.Discard, Warn: io.Discard, Quiet: true})
	if err != nil {
		g.t.Fatal(err)
	}
	cfg.Device = g.all[0].cfg.Device
	c, err := OpenCorpus(cfg)
	if err != nil {
		g.t.Fatal(err)
	}
	tr, err := newTrainer(cfg, c, nil, io.Discard, false)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(tr.Close)
	if err := tr.loadKept(); err != nil {
		g.t.Fatal(err)
	}
	tr.machines.Connect(exchange.Link{Member: w.Member, Fetched: filepath.Join(dir, "fetched")})
	g.all = append(g.all, tr)
	g.close = append(g.close, w.Close)
	return tr
}

// steps makes every machine do what is left up to step n.
func (g *gang) steps(n int) {
	g.t.Helper()
	var wg sync.WaitGroup
	g.last = make([]report.Step, len(g.all))
	for i, tr := range g.all {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(g.t.Context(), 5*time.Minute)
			defer cancel()
			if i > 0 && tr.Done == 0 && tr.machines.Plan() == nil {
				if err := tr.machines.CatchUp(ctx); err != nil {
					g.t.Errorf("machine %d: %v", i+1, err)
					return
				}
			}
			for tr.Done < n {
				r, err := tr.Step(ctx)
				if err != nil && err != step.ErrCaughtUp {
					g.t.Errorf("machine %d, step %d: %v", i+1, tr.Done+1, err)
					return
				}
				g.last[i] = r
			}
		})
	}
	wg.Wait()
	if g.t.Failed() {
		g.t.FailNow()
	}
}

// stop ends the run.
func (g *gang) stop() {
	for _, f := range g.close {
		f()
	}
	g.end(nil)
}

// replicas checks that all machines hold the same bits.
func (g *gang) replicas(what string) {
	g.t.Helper()
	alike := g.all[0].States()
	if cfg := g.all[0].cfg; cfg.Sharded() || cfg.OuterSteps() > 0 { // moments are each machine's own
		alike = alike[:1]
	}
	velocity := entries(g.t, g.all[0])
	for i, tr := range g.all[1:] {
		if !reflect.DeepEqual(entries(g.t, tr), velocity) {
			g.t.Errorf("%s: the outer optimizer's state of machine %d is not that of machine 1", what, i+2)
		}
	}
	for _, s := range alike {
		first := rawStates(g.t, g.all[0], s)
		for i, tr := range g.all[1:] {
			if !maps.Equal(rawStates(g.t, tr, s), first) {
				g.t.Errorf("%s: %s of machine %d is not that of machine 1", what, s, i+2)
			}
		}
	}
}

// entries are the tensors that a trainer's exchange carries.
func entries(t testing.TB, tr *Trainer) map[string][]float32 {
	t.Helper()
	out := map[string][]float32{}
	for _, e := range tr.exchange.Entries() {
		v, err := e.Data()
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name] = v
	}
	return out
}

// However many machines, every method resolves the same batch to the same gradients, up
// to the rounding of sums in another order. Every method is tried on three machines. Two,
// and eight of a row each, differ by the sums that reach the owners, and machines see no
// more of a method than its kind: they are tried with the first method of each.
func TestManyMachinesAreOne(t *testing.T) {
	tried := map[kind]bool{}
	for _, method := range sharedMethods() {
		t.Run(method, func(t *testing.T) {
			cfg := withMethod(t, tiny(t, append(slices.Clone(sliced), "schedule.warmup=0", "batch.rows=8")...), method)
			plain := alone(t, cfg)
			steps(t, plain, 1)
			want := values(t, plain, bucket.Gradient)
			counts := []int{1, 3}
			if k := kindOf(t, method, plain); !tried[k] {
				tried[k], counts = true, []int{1, 2, 3, 8}
				t.Logf("the first of %+v", k)
			}
			var second []float32
			for _, n := range counts {
				g := newGang(t, cfg, n)
				g.steps(1)
				if e := traintest.NMSE(values(t, g.all[0], bucket.Gradient), want); e > 1e-9 {
					t.Errorf("%d machines: the first gradient differs from one machine's alone: NMSE %.3g", n, e)
				}
				g.steps(2)
				got := values(t, g.all[0], bucket.Gradient)
				if second == nil {
					second = got
				}
				if e := traintest.NMSE(got, second); e > 1e-9 {
					t.Errorf("%d machines: the second gradient differs: NMSE %.3g", n, e)
				}
				g.replicas(fmt.Sprint(n, " machines"))
				g.stop()
			}
		})
	}
}

// kind is everything of a method that the machines which share a step see of it: what they
// send, and which state stays with an owner from step to step.
type kind struct {
	needs                             moo.Needs
	losses, scalars, languages, pairs bool
	elements                          string // the method, where it works on single values, on the device
}

// kindOf is the kind of the method of a trainer after a step.
func kindOf(t testing.TB, method string, tr *Trainer) kind {
	t.Helper()
	info, ok := moo.Lookup(method)
	if !ok {
		t.Fatal(method)
	}
	k := kind{needs: info.Needs, losses: info.UsesLosses}
	if info.Needs == moo.NeedsRows {
		k.elements = method
	}
	for _, g := range tr.Objective.Snapshot().Groups {
		k.scalars = k.scalars || len(g.State.Scalar) > 0
		k.languages = k.languages || len(g.State.Objective) > 0
		k.pairs = k.pairs || len(g.State.Pair) > 0
	}
	return k
}

// Eight machines of two rows each, languages split across them; twice, to the
// same bits.
func TestEightMachines(t *testing.T) {
	cfg := tiny(t, append(slices.Clone(sliced), "batch.rows=16", "schedule.steps=4")...)
	var first []float32
	for range 2 {
		g := newGang(t, cfg, 8)
		g.steps(1)
		for i, tr := range g.all {
			if n := tr.machines.Plan().Share.Size(); n != 2 {
				t.Errorf("machine %d had %d rows of the first step", i+1, n)
			}
		}
		g.steps(3)
		g.replicas("8 machines")
		if got := values(t, g.all[0], bucket.Weight); first == nil {
			first = got
		} else if !slices.Equal(got, first) {
			t.Error("the same run twice gave other bits")
		}
		g.stop()
	}
}

// What a step on one machine can, one on many can: micro-batches, halves, the
// optimizer's metric, overrides, every scope and wire.
func TestManyMachinesUnderEverySetting(t *testing.T) {
	for name, settings := range map[string][]string{
		"micro-batches": {"batch.rows=2", "batch.accumulate=3"},
		"halves":        {"objective.noise.halves=true", "objective.noise.debias=true"},
		"adam metric":   {"objective.metric=adam"},
		"global":        {"objective.scope=global"},
		"tensor":        {"objective.scope=tensor"},
		"every":         {"objective.every=2", "objective.warmup=1"},
		"bf16":          {"cluster.wire=bf16"},
		"int8":          {"cluster.wire=int8"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := tiny(t, append(slices.Clone(sliced), settings...)...)
			limit := map[string]float64{"bf16": 1e-4, "int8": 1e-2}[name]
			var want []float32
			for _, n := range []int{1, 3} {
				g := newGang(t, cfg, n)
				if k, groups := len(g.all[0].machines.StepShape().Groups), len(g.all[0].Store.Layout.Groups); k <= groups {
					t.Fatalf("%d groups are in %d slices", groups, k)
				}
				g.steps(3)
				g.replicas(name)
				got := values(t, g.all[0], bucket.Gradient)
				if want == nil {
					want = got
				} else if e := traintest.NMSE(got, want); e > max(limit, 1e-5) { // two updates lie between
					t.Errorf("NMSE %.3g", e)
				}
				g.stop()
			}
		})
	}
}

// A machine that joins later holds the run's bits from then on, and one that
// leaves costs nobody anything.
func TestJoinAndLeaveARun(t *testing.T) {
	for _, sync := range []string{"gradients", "parameters"} {
		t.Run(sync, func(t *testing.T) { joinAndLeave(t, "cluster.sync="+sync) })
	}
}

func joinAndLeave(t *testing.T, setting string) {
	cfg := tiny(t, append(slices.Clone(exact), "schedule.steps=60", setting)...)
	g := newGang(t, cfg, 1)
	g.steps(2)
	late := g.join()
	g.steps(30) // far enough for one that comes slowly
	if late.Done != 30 {
		t.Errorf("the late machine is at step %d", late.Done)
	}
	g.replicas("joined")
	g.close[0]()
	g.all, g.close = g.all[:1], nil
	g.steps(32)
	g.stop()
}

// The committed steps and the samples of a run that goes on with another number
// of machines are those of one that did not stop.
func TestResumeOnOtherMachines(t *testing.T) {
	for _, sync := range []string{"gradients", "parameters"} {
		t.Run(sync, func(t *testing.T) { resumeOnOthers(t, "cluster.sync="+sync) })
	}
}

func resumeOnOthers(t *testing.T, setting string) {
	cfg := tiny(t, append(slices.Clone(exact), "schedule.steps=6", "checkpoint.every=3", "eval.every=0", setting)...)
	whole := newGang(t, cfg, 1)
	whole.steps(6)
	want := values(t, whole.all[0], bucket.Weight)
	whole.stop()
	g := newGang(t, cfg, 2)
	g.steps(3)
	r := g.resumed(cfg, 3)
	r.steps(6)
	r.replicas("resumed on three")
	if e := traintest.NMSE(values(t, r.all[0], bucket.Weight), want); e > 1e-5 {
		t.Errorf("weights differ: NMSE %.3g", e)
	}
	r.stop()
}

// resolve = "local": on one machine it is exact; machines with a language each have
// nothing to resolve, and average; all hold the same weights.
func TestLocalResolution(t *testing.T) {
	gradient := func(n int, settings ...string) []float32 {
		g := newGang(t, tiny(t, append(slices.Clone(sliced), append(settings, "data.temperature=1000000", "schedule.warmup=0")...)...), n)
		defer g.stop()
		g.steps(2)
		g.replicas(fmt.Sprint(settings))
		if n == 3 {
			for i, tr := range g.all {
				if langs := len(tr.machines.Work(1).Languages([]protocol.Share{tr.machines.Plan().Share})); langs != 1 {
					t.Fatalf("machine %d has %d languages", i+1, langs)
				}
			}
		}
		return values(t, g.all[0], bucket.Gradient)
	}
	alone := gradient(1, "cluster.resolve=local")
	if e := traintest.NMSE(alone, gradient(1)); e > 1e-9 {
		t.Errorf("one machine: NMSE %.3g", e)
	}
	mean := gradient(3, "objective.method=mean")
	if e := traintest.NMSE(gradient(3, "objective.method=mean", "cluster.resolve=local"), mean); e > 1e-9 {
		t.Errorf("the mean of three machines: NMSE %.3g", e)
	}
	exactly, locally := gradient(3, "objective.method=mgda"), gradient(3, "objective.method=mgda", "cluster.resolve=local")
	if e := traintest.NMSE(locally, exactly); e < 1e-6 {
		t.Errorf("mgda on machines of a language each is exact: NMSE %.3g", e)
	}
}

// upload_limit holds for machine 1 and for those who join, and a worker may have its
// own: nobody sends more than it allows, but for what may be sent at once.
func TestUploadLimit(t *testing.T) {
	const limit, steps = 200_000, 16
	for _, c := range []struct{ run, worker string }{{"200kB", "10MB"}, {"", "200kB"}} {
		g := newGang(t, tiny(t, append(slices.Clone(exact), "cluster.upload_limit="+c.run, fmt.Sprint("schedule.steps=", 1+steps))...),
			2, "cluster.upload_limit="+c.worker)
		g.steps(1)
		began := time.Now()
		g.steps(1 + steps)
		took := time.Since(began).Seconds()
		sent := g.all[1].machines.Plan().Timing().Sent * steps // and as much from machine 1
		least := 0.8*float64(sent)/limit - 0.1                 // packets' headers and acknowledgements are sent besides
		if least < 1 {
			t.Fatalf("a machine sends only %d bytes", sent)
		}
		if took < least {
			t.Errorf("%+v: %d bytes in %.2f s", c, sent, took)
		}
		g.stop()
	}
}
