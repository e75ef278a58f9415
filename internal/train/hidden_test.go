package train

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestHiddenStates(t *testing.T) {
	cfg := tiny(t)
	h, err := HiddenStates(context.Background(), cfg, "", 0, UI{})
	if err != nil {
		t.Fatal(err)
	}
	count := map[int]int{}
	for _, l := range h.Labels {
		count[l]++
	}
	if len(h.Langs) < 2 || len(count) != len(h.Langs) || len(h.States[0]) != len(h.Labels) ||
		len(h.States[len(h.States)-1][0]) != len(h.States[0][0]) {
		t.Errorf("languages %v, examples %v, %d layers", h.Langs, count, len(h.States))
	}
	again, err := HiddenStates(context.Background(), cfg, "", 0, UI{})
	if err != nil || again.Text != h.Text || !slices.Equal(again.States[1][0], h.States[1][0]) {
		t.Errorf("other states the second time (%v)", err)
	}
	few, err := HiddenStates(context.Background(), cfg, "", 1, UI{})
	if err != nil || len(few.Labels) != len(h.Langs) {
		t.Errorf("one example a language gave %d (%v)", len(few.Labels), err)
	}
	one := *cfg
	one.Data.Source = cfg.Data.Source[:1]
	if _, err := HiddenStates(context.Background(), &one, "", 0, UI{}); !errors.Is(err, ErrData) ||
		!strings.Contains(err.Error(), "two or more") {
		t.Errorf("one language: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := HiddenStates(ctx, cfg, "", 0, UI{}); !errors.Is(err, ErrInterrupted) {
		t.Errorf("interrupted: %v", err)
	}
}
