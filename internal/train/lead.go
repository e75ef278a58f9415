package train

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"concord/internal/cluster"
	"concord/internal/cluster/coordinator"
	"concord/internal/cluster/protocol"
	"concord/internal/cluster/store/file"
	"concord/internal/cluster/worker"
	"concord/internal/config"
	"concord/internal/exchange"
	"concord/internal/model"
	"concord/internal/modeldir"
	"concord/internal/rundir"
	"concord/transport"
)

// socket is nil but in tests, which simulate links.
var socket cluster.SocketFunc

// canListen says before anything else is done that the address cannot be had.
func canListen(cfg *config.Config) error {
	if !cfg.Clustered() {
		return nil
	}
	conn, _, err := transport.Socket(cfg.Cluster.Listen)
	if err != nil {
		return &config.Error{Where: cfg.Where("cluster.listen"), Msg: err.Error(),
			Fix: `another port, such as --listen :4434; or --listen :0 for any`}
	}
	return conn.Close()
}

// lead makes this machine the first of a run on many, where the run file asks
// for it. The function that it returns ends the run for the others.
func (t *Trainer) lead(ctx context.Context, dir string, ui UI) (end func(error), err error) {
	if !t.cfg.Clustered() {
		return func(error) {}, nil
	}
	o, err := t.hostOptions(dir, ui)
	if err != nil {
		return nil, err
	}
	h, err := cluster.StartHost(ctx, o, t.machines.Exchanges())
	if err != nil {
		return nil, DataError(fmt.Errorf("cannot lead a run on many machines: %w", err))
	}
	t.machines.Connect(exchange.Link{Member: h.Member, Fetched: filepath.Join(o.Dir, "fetched")})
	t.machines.Bring()
	if t.cfg.Probe.Every > 0 {
		fmt.Fprintln(ui.warn(), "concord: probe.every is for runs on one machine: no probes")
	}
	announce(h, ui)
	end = func(err error) {
		e := protocol.End{Text: "the run is finished", Finished: err == nil}
		if err != nil {
			e.Text = "machine 1 has stopped: " + err.Error()
		}
		if onDisk(err) { // the state that is not saved is with the others: they look for concord resume
			h.Abandon()
			return
		}
		h.Close(e)
	}
	if committed := h.Coordinator.Step(); committed > t.machines.Exchanges() {
		fmt.Fprintf(ui.warn(), "concord: the run has committed step %d, the checkpoint here is of step %d: looking for a machine "+
			"that holds the newer weights\n", t.machines.StepAfter(committed), t.Done)
		if err := t.machines.CatchUp(ctx); err != nil {
			end(err)
			return nil, err
		}
	}
	return end, nil
}

// JoinAdvice is said beside a join line: other users of a machine see its commands.
const JoinAdvice = "the quoted line is a secret: where others use the machine too, put it in a file, and --join @FILE"

// announce says how others join.
func announce(h *cluster.Host, ui UI) {
	if h.Hint != "" {
		fmt.Fprintln(ui.warn(), "concord:", h.Hint)
	}
	switch {
	case ui.Watch != nil || ui.Quiet: // Out belongs to the screen, or to JSON
		fmt.Fprintf(ui.warn(), "join with: concord worker --join '%s'\n", h.Line)
	default:
		fmt.Fprintf(ui.Out, " join    concord worker --join '%s'\n         %s\n", h.Line, JoinAdvice)
	}
	if ui.Joined != nil {
		ui.Joined(h.Line.String())
	}
}

func (t *Trainer) hostOptions(dir string, ui UI) (cluster.HostOptions, error) {
	c := t.cfg.Cluster
	o, err := t.coordinatorOptions(ui)
	if err != nil {
		return cluster.HostOptions{}, err
	}
	uses := c.JoinUses
	if uses == 0 {
		uses = -1
	}
	return cluster.HostOptions{
		Dir: rundir.Cluster(dir), Store: file.Open, Listen: c.Listen, UploadLimit: uploadLimit(c), WAN: c.WAN,
		JoinFor: c.JoinHours.Duration(), JoinUses: uses,
		Socket: socket, Coordinator: o, Member: worker.Options{Hello: t.hello(), HeartbeatTimeout: silence(c)},
	}, err
}

// coordinatorOptions tell a coordinator of this run.
func (t *Trainer) coordinatorOptions(ui UI) (coordinator.Options, error) {
	c := t.cfg.Cluster
	files, open, err := runFiles(t.cfg)
	if err != nil {
		return coordinator.Options{}, err
	}
	forWorkers, err := json.Marshal(portable(t.cfg))
	if err != nil {
		return coordinator.Options{}, err
	}
	shape := t.machines.StepShape()
	return coordinator.Options{Config: forWorkers, Files: files, Open: open, Groups: shape.Groups, Leads: shape.Leads, Codec: shape.Codec,
		SeqLen: t.cfg.Batch.SeqLen, Workers: c.Workers,
		HeartbeatTimeout: silence(c), NoDeadline: !c.Deadline, Equal: c.Shares == config.SharesEqual, Parameters: t.cfg.Sharded(),
		Gather: t.gather, CheckEvery: c.CheckEvery, Relay: c.Relay,
		Log: logger(ui), StepAfter: t.machines.StepAfter, StepName: shape.StepName, Langs: t.Langs,
		Work: t.machines.Work}, nil
}

func silence(c config.Cluster) time.Duration { return c.Silence.Duration() }

func uploadLimit(c config.Cluster) int64 { return int64(c.UploadLimit) }

// hostName is this machine's name, as others see it.
func hostName() string {
	if name, err := os.Hostname(); err == nil {
		return name
	}
	return "unnamed"
}

// hello introduces this machine.
func (t *Trainer) hello() protocol.Hello {
	return protocol.Hello{Name: hostName(), Device: t.Engine.Dev.Info().Name, Version: BuildVersion().Version}
}

// portable is cfg for another machine: paths are names of files of the run, and
// settings that concern this machine alone are left out.
func portable(cfg *config.Config) *config.Config {
	c := *cfg
	c.Model.Path, c.Run.Dir, c.Device = "model", "", config.Default().Device
	if c.Adapter = portableAdapter(cfg); cfg.KeepsBase() && model.IsGGUF(cfg.Model.Path) {
		c.Model.Path += "/" + portableGGUF
	}
	if templateFile(cfg) != "" {
		c.Data.Template = portableTemplate
	}
	c.Data.Source = slices.Clone(cfg.Data.Source)
	for i := range c.Data.Source {
		s := &c.Data.Source[i]
		s.Path, s.Heldout = dataNames("data", i, s.Path), dataNames("heldout", i, s.Heldout)
	}
	return &c
}

// dataNames are the i-th source's files as the other machines know them.
func dataNames(kind string, i int, paths config.Paths) config.Paths {
	var out config.Paths
	for j, path := range paths {
		out = append(out, fmt.Sprintf("%s/%d/%d/%s", kind, i, j, filepath.Base(filepath.FromSlash(path))))
	}
	return out
}

// runFiles lists the files that workers fetch, and opens them.
func runFiles(cfg *config.Config) ([]protocol.File, func(string) (io.ReadCloser, error), error) {
	paths := map[string]string{}
	var names []string
	add := func(name, path string) {
		if name != "" && exists(path) {
			paths[name] = path
			names = append(names, name)
		}
	}
	for _, f := range modeldir.Files {
		add("model/"+f, filepath.Join(baseFolder(cfg), f))
	}
	for _, f := range weightFiles(cfg) {
		add("model/"+f.name, f.path)
	}
	if name := templateFile(cfg); name != "" {
		add(portableTemplate, cfg.Resolve(name))
	}
	for i, s := range cfg.Data.Source {
		for j, path := range cfg.ResolveAll(s.Path) {
			add(dataNames("data", i, s.Path)[j], path)
		}
		for j, path := range cfg.ResolveAll(s.Heldout) {
			add(dataNames("heldout", i, s.Heldout)[j], path)
		}
	}
	var out []protocol.File
	for _, name := range names {
		sum, size, err := hashFile(paths[name])
		if err != nil {
			return nil, nil, DataError(err)
		}
		out = append(out, protocol.File{Name: name, Size: size, Hash: sum})
	}
	return out, func(name string) (io.ReadCloser, error) { return os.Open(paths[name]) }, nil
}
