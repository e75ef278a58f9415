package train

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"concord/internal/cluster"
	"concord/internal/cluster/store"
	"concord/internal/config"
)

// RunAt trains as one of several equal machines that share a store, which open opens
// for a run of that name: all are started alike, with the run file and its data at hand. One of them leads:
// it plans, evaluates, saves and exports. When it dies another takes over, with
// the weights that it has. dir is where this machine keeps its identity and what only
// it holds of the run, "" the user's cache folder.
func RunAt(ctx context.Context, cfg *config.Config, open func(run string) (store.Store, error), dir string, ui UI) (*Summary, error) {
	c, err := openCorpus(cfg)
	if err != nil {
		return nil, err
	}
	t, err := newTrainer(cfg, c, nil, ui.warn(), false)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	s, err := t.sameStart(ui)
	if err != nil {
		return nil, err
	}
	site, leave, err := t.takePlace(ctx, open, dir, ui)
	if err != nil {
		return nil, err
	}
	defer leave()
	led, following := t.standBy(ctx, site, ui)
	if err := site.Connect(ctx); err != nil {
		return nil, as(ErrCluster, err)
	}
	ui.printf(" joined  the run %q at %s\n", cfg.Run.Name, site.Addr)
	err = t.follow(following, ui)
	select {
	case l := <-led:
		if l.err != nil {
			return nil, as(ErrCluster, l.err)
		}
		if ctx.Err() == nil && (err == nil || errors.Is(err, ErrInterrupted)) { // the wait for others was ended by the election
			return t.govern(ctx, l.office, s, ui)
		}
		l.office.Abandon()
	default:
	}
	return nil, ended(err)
}

// takePlace makes this machine one of the equal ones, until leave is called.
func (t *Trainer) takePlace(ctx context.Context, open func(run string) (store.Store, error), dir string, ui UI) (site *cluster.Site, leave func(), err error) {
	log, release, apart := warner(ui), func() {}, ""
	st, err := open(t.cfg.Run.Name)
	if err != nil {
		return nil, nil, as(ErrCluster, err)
	}
	site, err = cluster.OpenSite(ctx, cluster.SiteOptions{Store: st, Listen: t.cfg.Cluster.Listen, UploadLimit: uploadLimit(t.cfg.Cluster), WAN: t.cfg.Cluster.WAN,
		Member: cluster.MemberOptions{Hello: t.hello(), Silence: silence(t.cfg.Cluster), Log: log},
		Folder: func(ca [32]byte) (string, error) {
			own, free, err := workFolder(dir, ca)
			if err == nil {
				dir, release, apart = own, free, apartFolder(own, ca)
			}
			return own, err
		}})
	if err != nil {
		release()
		return nil, nil, as(ErrCluster, err)
	}
	if site.Hint != "" {
		log("%s", site.Hint)
	}
	site.Member.Configure(t.clusterShape(), t.offer)
	t.team = &team{member: site.Member, dir: filepath.Join(dir, "fetched"), apart: apart, log: log}
	leave = func() { t.team.saves.Wait(); site.Close(); release() }
	t.entrust()
	t.remainder = nil // of the machine that has saved it
	if err := t.takeApart(); err != nil {
		leave()
		return nil, nil, err
	}
	return site, leave, nil
}

// sameStart gives every machine the same weights: those of the newest checkpoint in
// the run's folder, where this machine sees one, or the base model's.
func (t *Trainer) sameStart(ui UI) (state, error) {
	if exists(filepath.Join(t.cfg.OutDir(), checkpointFolder)) {
		path, s, err := resumeFrom(t.cfg.OutDir(), t.cfg, ui)
		if err != nil {
			return s, err
		}
		if path != "" {
			return s, t.restore(path, s)
		}
	}
	return state{}, t.loadBase()
}

// ledBy is the outcome of winning the election.
type ledBy struct {
	office *cluster.Coordinator
	err    error
}

// standBy opens the coordinator's office when this machine wins the election; the
// context that it returns ends then, or with ctx.
func (t *Trainer) standBy(ctx context.Context, site *cluster.Site, ui UI) (<-chan ledBy, context.Context) {
	following, stop := context.WithCancel(ctx)
	led := make(chan ledBy, 1)
	start := t.exchanges()
	o, err := t.coordinatorOptions(ui)
	o.Changed, o.Regather = nil, true
	go func() {
		defer stop()
		select {
		case <-ctx.Done():
			return
		case <-site.Won():
		}
		if err != nil {
			led <- ledBy{err: err}
			return
		}
		dir := ClusterDir(t.cfg.OutDir())
		if err := os.MkdirAll(dir, 0o755); err == nil {
			o.Changed = cluster.StatusTo(dir)
		}
		office, err := site.Lead(ctx, o, start)
		led <- ledBy{office, err}
	}()
	return led, following
}

// govern is machine 1's part, on whichever machine it falls.
func (t *Trainer) govern(ctx context.Context, office *cluster.Coordinator, s state, ui UI) (*Summary, error) {
	dir := t.cfg.OutDir()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, DataError(err)
	}
	if !exists(filepath.Join(dir, lockFile)) {
		l, err := newLock(t.cfg, dir)
		if err == nil {
			err = l.write(dir)
		}
		if err != nil {
			return nil, err
		}
	}
	os.Remove(filepath.Join(dir, inUseFile)) // whoever led before has lost its lease in etcd, and with it the right to write here
	release, err := occupy(dir)
	if err != nil {
		return nil, err
	}
	defer release()
	ui.printf(" leads   from step %d of %d on, in %s\n", t.step, t.corpus.steps, dir)
	if path, newer, err := resumeFrom(dir, t.cfg, UI{}); err == nil && path != "" { // what the last leader evaluated
		s = newer
	}
	ctx, done := t.whileLeading(ctx, office)
	defer done()
	sum, err := t.loop(ctx, dir, s, ui)
	if err == nil {
		office.Close(cluster.End{Text: "the run is finished", Finished: true})
	} else {
		office.Abandon() // and another machine takes over
	}
	return sum, err
}

// whileLeading is ctx for as long as this machine leads. From then on it writes
// nothing to the run's folder any more, where its successor does.
func (t *Trainer) whileLeading(ctx context.Context, office *cluster.Coordinator) (context.Context, func()) {
	ctx, depose := context.WithCancelCause(ctx)
	t.team.leads = func() error {
		select {
		case <-office.Failed():
			return as(ErrCluster, fmt.Errorf("%w\n  start the same command again to take part", office.Err()))
		default:
			return nil
		}
	}
	go func() {
		select {
		case <-office.Failed():
			depose(t.team.leads())
		case <-ctx.Done():
		}
	}()
	return ctx, func() { depose(nil) }
}
