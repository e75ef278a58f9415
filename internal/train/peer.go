package train

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"concord/internal/cluster"
	"concord/internal/cluster/coordinator"
	"concord/internal/cluster/protocol"
	"concord/internal/cluster/store"
	"concord/internal/cluster/worker"
	"concord/internal/config"
	"concord/internal/exchange"
	"concord/internal/rundir"
)

// RunAt trains as one of several equal machines that share a store, which open opens
// for a run of that name: all are started alike, with the run file and its data at hand. One of them leads:
// it plans, evaluates, saves and exports. When it dies another takes over, with
// the weights that it has. dir is where this machine keeps its identity and the state that only
// it holds of the run, "" the user's cache folder.
func RunAt(ctx context.Context, cfg *config.Config, open func(run string) (store.Store, error), dir string, ui UI) (*Summary, error) {
	corpus, err := OpenCorpus(cfg)
	if err != nil {
		return nil, err
	}
	if cfg.Memory.Fit == config.FitAuto {
		return nil, &config.Error{Where: cfg.Where("memory.fit"),
			Msg: `memory.fit: equal machines start with the same settings, and "auto" would choose by the device`,
			Fix: `fit = "off", and checkpointing = true where a device is small`}
	}
	t, err := newTrainer(cfg, corpus, nil, ui.warn(), false)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	s, err := t.sameStart(ui)
	if err != nil {
		return nil, err
	}
	o, err := t.electedOptions(ui)
	if err != nil {
		return nil, err
	}
	st, err := t.openShared(ctx, open, o)
	if err != nil {
		return nil, err
	}
	peer, leave, err := t.takePlace(ctx, st, dir, ui)
	if err != nil {
		return nil, err
	}
	defer leave()
	c := t.campaign(ctx, peer, o)
	w, err := peer.Connect(ctx)
	if err == nil {
		err = agrees(w, t.cfg, o.Files)
	}
	if err != nil {
		c.end().abandon()
		return nil, as(ErrCluster, err)
	}
	ui.printf(" joined  the run %q at %s\n", cfg.Run.Name, peer.Addr)
	for {
		err := t.follow(c.following, ui)
		l := c.end()
		if c.finished {
			ui.printf(" ended   another machine has finished the run and saved the model; this machine's own weights are of step %d of %d\n",
				t.Done, t.corpus.Steps)
			return nil, nil
		}
		// ErrInterrupted: the wait for others was ended by the election.
		if l == nil || ctx.Err() != nil || err != nil && !errors.Is(err, ErrInterrupted) {
			l.abandon()
			return nil, ended(err)
		}
		sum, err := t.runAsLeader(ctx, l, s, ui)
		if !errors.Is(err, coordinator.ErrLostLeadership) || ctx.Err() != nil {
			return sum, err
		}
		fmt.Fprintf(ui.warn(), "concord: %v; it goes on and works for whichever machine leads next\n", err)
		c = t.campaign(ctx, peer, o)
	}
}

// openShared opens the store of the run's name, where it is this run's.
func (t *Trainer) openShared(ctx context.Context, open func(run string) (store.Store, error), o coordinator.Options) (store.Store, error) {
	st, err := open(t.cfg.Run.Name)
	if err != nil {
		return nil, as(ErrCluster, err)
	}
	if err := claim(ctx, st, t.cfg, protocol.Welcome{Config: o.Config, Files: o.Files}); err != nil {
		st.Close()
		return nil, err
	}
	return st, nil
}

// takePlace makes this machine one of the equal ones, which share st, until leave is called.
func (t *Trainer) takePlace(ctx context.Context, st store.Store, dir string, ui UI) (peer *cluster.Peer, leave func(), err error) {
	log, release, local := warner(ui), func() {}, ""
	peer, err = cluster.OpenPeer(ctx, cluster.PeerOptions{Store: st, Listen: t.cfg.Cluster.Listen,
		UploadLimit: uploadLimit(t.cfg.Cluster), WAN: t.cfg.Cluster.WAN,
		Member: worker.Options{Hello: t.hello(), HeartbeatTimeout: silence(t.cfg.Cluster), Log: logger(ui)},
		Folder: func(ca [32]byte) (string, error) {
			own, free, err := workFolder(dir, ca, ui.warn())
			if err == nil {
				dir, release, local = own, free, exchange.LocalFolder(own, ca)
			}
			return own, err
		}})
	if err != nil {
		release()
		return nil, nil, as(ErrCluster, err)
	}
	if peer.Hint != "" {
		log("%s", peer.Hint)
	}
	t.machines.Connect(exchange.Link{Member: peer.Member, Fetched: filepath.Join(dir, "fetched"), Local: local, Log: log})
	leave = func() { t.machines.WaitSaved(); peer.Close(); release() }
	t.machines.Bring()
	if err := t.machines.RestoreLocalState(); err != nil {
		leave()
		return nil, nil, err
	}
	return peer, leave, nil
}

// sameStart gives every machine the same weights: those of the newest checkpoint in
// the run's folder, where this machine sees one, or the base model's.
func (t *Trainer) sameStart(ui UI) (state, error) {
	if err := continues(t.cfg); err != nil {
		return state{}, err
	}
	if exists(rundir.Checkpoints(t.cfg.OutDir())) {
		path, s, err := resumeFrom(t.cfg.OutDir(), t.cfg, ui)
		if err != nil {
			return s, err
		}
		if path != "" {
			return s, t.loadAll(path, s)
		}
	}
	return state{}, t.loadBase()
}

// electedOptions tell the coordinator that this machine may come to be.
func (t *Trainer) electedOptions(ui UI) (coordinator.Options, error) {
	o, err := t.coordinatorOptions(ui)
	o.Regather = true
	dir := rundir.Cluster(t.cfg.OutDir())
	status := cluster.StatusTo(dir)
	o.Changed = func(s coordinator.Status, last bool) {
		if os.MkdirAll(dir, 0o755) == nil {
			status(s, last)
		}
	}
	return o, err
}

// leadership is a coordinator that was elected here.
type leadership struct {
	*coordinator.Coordinator
	resign func()
}

// abandon hands over; the machines look for another coordinator. nil has nothing to.
func (l *leadership) abandon() {
	if l != nil {
		l.Abandon()
		l.resign()
	}
}

// campaign is this machine's candidacy while it follows.
type campaign struct {
	following context.Context // ends when this machine is elected, or with the run's
	stop      context.CancelFunc
	elected   chan *leadership // nil: not
	finished  bool             // by another machine; known when elected has a value or is closed
}

// campaign stands for election until it is ended.
func (t *Trainer) campaign(ctx context.Context, peer *cluster.Peer, o coordinator.Options) *campaign {
	ctx, stop := context.WithCancel(ctx)
	following, done := context.WithCancel(ctx)
	c := &campaign{following: following, stop: stop, elected: make(chan *leadership, 1)}
	start := t.machines.Exchanges()
	go func() {
		defer done()
		k, resign, err := peer.Campaign(ctx, o, start)
		c.finished = errors.Is(err, coordinator.ErrFinished)
		if err == nil {
			c.elected <- &leadership{k, resign}
		}
		close(c.elected)
	}()
	return c
}

// end ends the candidacy and returns the leadership that was won, or nil.
func (c *campaign) end() *leadership {
	c.stop()
	return <-c.elected
}

// runAsLeader is machine 1's part, on the machine that it falls to.
func (t *Trainer) runAsLeader(ctx context.Context, l *leadership, s state, ui UI) (sum *Summary, err error) {
	defer func() {
		if err != nil {
			l.abandon() // and another machine takes over
			return
		}
		l.Close(protocol.End{Text: "the run is finished", Finished: true})
		l.resign()
	}()
	dir := t.cfg.OutDir()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, DataError(err)
	}
	if !rundir.IsRun(dir) {
		l, err := newLock(t.cfg, dir)
		if err == nil {
			err = l.write(dir)
		}
		if err != nil {
			return nil, err
		}
	}
	release, err := rundir.OccupyAs(dir, l.Term(), ui.warn())
	if err != nil {
		return nil, err
	}
	defer release()
	ctx, done := t.whileLeading(ctx, l.Coordinator, dir)
	defer done()
	ui.printf(" leads   from step %d of %d on, in %s\n", t.Done, t.corpus.Steps, dir)
	if path, newer, err := resumeFrom(dir, t.cfg, UI{}); err == nil && path != "" { // the last leader's evaluations
		s = newer
	}
	metrics := rundir.Metrics(dir)
	if err := errors.Join(t.recent.recall(metrics, t.Done), t.recent.fillRecord(metrics, t.Done)); err != nil {
		return nil, DataError(err)
	}
	return t.loop(ctx, dir, s, ui)
}

// whileLeading is ctx for as long as this machine leads. From then on it writes
// nothing to the run's folder any more, where its successor does.
func (t *Trainer) whileLeading(ctx context.Context, c *coordinator.Coordinator, dir string) (context.Context, func()) {
	ctx, depose := context.WithCancelCause(ctx)
	t.leads = func() error {
		select {
		case <-c.Failed():
			return as(ErrCluster, c.Err())
		default:
		}
		if rundir.Overtaken(dir, c.Term()) { // it does not know yet
			return as(ErrCluster, fmt.Errorf("%w: another machine writes to %s in a later term", coordinator.ErrLostLeadership, dir))
		}
		return nil
	}
	go func() {
		select {
		case <-c.Failed():
			depose(c.Err())
		case <-ctx.Done():
		}
	}()
	return ctx, func() { t.leads = nil; depose(nil) }
}
