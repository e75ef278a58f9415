package train

import (
	"slices"
	"testing"

	"concord/internal/cluster/worker"
	"concord/internal/exchange"
)

// A step that is done again leaves no trace in what the methods carry: it is offered and
// saved as the state before that step.
func TestRedoneStepLeavesNoState(t *testing.T) {
	for name, more := range map[string][]string{
		"gradients": nil, "parameters": {"cluster.sync=parameters"}, "local": {"cluster.resolve=local"}, "outer": outerSteps,
	} {
		t.Run(name, func(t *testing.T) {
			cfg := tiny(t, append(slices.Clone(more), "cluster.listen=127.0.0.1:0", "objective.method=gradnorm")...)
			g := newGang(t, cfg, 1)
			defer g.stop()
			g.steps(3)
			tr := g.all[0]
			carried := func() string {
				if x, ok := tr.Exchange.(*exchange.Outer); ok { // its inner steps are undone by TestOuterStepsAgain
					return toJSON(t, x.Carry().Outer.Groups)
				}
				return toJSON(t, tr.Objective.Snapshot().Groups)
			}
			before := carried()
			local, err := tr.Exchange.Begin(t.Context(), tr.Done)
			if err != nil {
				t.Fatal(err)
			}
			for m, err := range local.Micros {
				if err != nil {
					t.Fatal(err)
				}
				if err := tr.Input.Upload(m.Tokens); err != nil {
					t.Fatal(err)
				}
				tr.Model.Forward(tr.Input)
				tr.Model.Backward(tr.Input, m.Sink, m.Losses)
			}
			if _, err := tr.Exchange.Finish(t.Context()); err != nil {
				t.Fatal(err)
			}
			if carried() == before {
				t.Fatal("the step changed nothing that the method carries")
			}
			if err := tr.Exchange.Retry(t.Context(), worker.ErrRedo); err != nil {
				t.Fatal(err)
			}
			if now := carried(); now != before {
				t.Errorf("the methods carry\n%s\nbefore the step\n%s", now, before)
			}
		})
	}
}
