package train

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"concord/gpu"
	"concord/internal/config"
	"concord/internal/train/traintest"
)

var update = flag.Bool("update", false, "write the table of cards in docs/memory.md anew: every model, minutes of processor time")

// cardsPage has the table between cardsBegin and cardsEnd.
const (
	cardsPage  = "../../docs/memory.md"
	cardsBegin = "| model | settings |"
	cardsEnd   = "\n\n"
)

// shape is a model of which only the configuration is there.
type shape struct{ name, config string }

// shapes are those of the table, from the models' own config.json, the smallest first.
var shapes = []shape{
	{"SmolLM2-135M", `{"model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
"num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152, "rope_theta": 100000`},
	{"Gemma-3-270M", `{"model_type": "gemma3_text", "hidden_size": 640, "intermediate_size": 2048, "num_hidden_layers": 18,
"num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256, "vocab_size": 262144, "rope_theta": 1000000,
"sliding_window": 512, "sliding_window_pattern": 6, "rope_local_base_freq": 10000, "query_pre_attn_scalar": 256`},
	{"Qwen3-0.6B", `{"model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28,
"num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "rope_theta": 1000000`},
	{"Llama-3.2-1B", `{"model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
"num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "rope_theta": 500000`},
	{"Qwen2.5-1.5B", `{"model_type": "qwen2", "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28,
"num_attention_heads": 12, "num_key_value_heads": 2, "vocab_size": 151936, "rope_theta": 1000000`},
	{"Llama-3.2-3B", `{"model_type": "llama", "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28,
"num_attention_heads": 24, "num_key_value_heads": 8, "vocab_size": 128256, "rope_theta": 500000`},
}

// saving are lines of a run file that take less memory and more time.
var saving = []string{"memory.checkpointing=true", "batch.logits_chunk=64"}

// ways are the table's settings.
var ways = []struct {
	name  string
	lines []string
}{
	{"full, f32, AdamW", nil},
	{"full, bf16, 8-bit AdamW", append(saving, "model.dtype=bf16", "optim.moments=int8", "optim.in_backward=true")},
	{"full, bf16, Adafactor", append(saving, "model.dtype=bf16", "optim.name=adafactor", "optim.in_backward=true")},
	{"LoRA on f32", append(saving, "adapter.kind=lora")},
	{"LoRA on int8", append(saving, "adapter.kind=lora", "model.base_type=int8")},
	{"LoRA on nf4", append(saving, "adapter.kind=lora", "model.base_type=nf4")},
}

// tableLanguages are the numbers of languages in a cell, and the rows of the first peak.
var tableLanguages = []int{4, 8}

// fullRows are documents that fill a row each, all of whose tokens are trained.
func fullRows(lang string) string {
	var b strings.Builder
	for i := range 24 {
		fmt.Fprintf(&b, "{\"text\": %q}\n", fmt.Sprintf("%-510s", strings.Repeat(fmt.Sprint(lang, i, " "), 90))[:510])
	}
	return b.String()
}

// planner plans a shape with so many languages.
func (s shape) planner(t *testing.T, languages int, lines []string) *Planner {
	t.Helper()
	dir := t.TempDir()
	traintest.WriteFile(t, filepath.Join(dir, "model", "config.json"), s.config+`,
"max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "tie_word_embeddings": true}`)
	traintest.Tokenizer(t, filepath.Join(dir, "model"))
	var b strings.Builder
	fmt.Fprintf(&b, "[model]\npath = \"model\"\ninit = \"random\"\n[batch]\nrows = %d\nseq_len = 512\n"+
		"[objective]\nmethod = \"pcgrad\"\nscope = \"layer\"\n[optim]\nlr = 2e-5\n[schedule]\nsteps = 2\n", languages)
	for _, lang := range []string{"es", "de", "ru", "hi", "ar", "sw", "zh", "tr"}[:languages] {
		traintest.WriteFile(t, filepath.Join(dir, lang+".jsonl"), fullRows(lang))
		fmt.Fprintf(&b, "[[data.source]]\nlang = %q\npath = \"%[1]s.jsonl\"\nholdout = 4\n", lang)
	}
	traintest.WriteFile(t, filepath.Join(dir, "run.toml"), b.String())
	cfg, err := config.Load(filepath.Join(dir, "run.toml"), lines)
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPlanner(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// peak is that of so many rows on a card of any size; 0: more than the kernels take.
func (p *Planner) peak(t *testing.T, rows int) int64 {
	t.Helper()
	m, err := p.try(Card{Name: "any", Type: gpu.Discrete, Memory: unbounded}, rows)
	if errors.Is(err, errTooLarge) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return m.Peak
}

// mostPlanned bounds the rows of the table.
const mostPlanned = 64

// cells are a row's figures: the peak with a row a language, and the most rows by card.
func (s shape) cells(t *testing.T, lines []string) []string {
	var columns [][]string
	for _, m := range tableLanguages {
		p, known := s.planner(t, m, lines), map[int]int64{}
		peak := func(rows int) int64 {
			if _, ok := known[rows]; !ok {
				known[rows] = p.peak(t, rows)
			}
			return known[rows]
		}
		column := []string{gib(peak(m))}
		for _, card := range UsualCards(gpu.Discrete) {
			column = append(column, mostOn(card, m, known, peak))
		}
		columns = append(columns, column)
	}
	var out []string
	for i := range columns[0] {
		cell := columns[0][i] + " / " + columns[1][i]
		if cell == "– / –" {
			cell = "–"
		}
		out = append(out, cell)
	}
	return out
}

func gib(n int64) string { return fmt.Sprintf("%.1f", float64(n)/(1<<30)) }

// mostOn is the largest batch on a card, from a row a language on; known are the peaks of
// the rows that were tried. A peak grows almost evenly with the rows, so the next guess is on the line
// between the rows that fit and those that do not.
func mostOn(card Card, m int, known map[int]int64, peak func(rows int) int64) string {
	fits := func(rows int) bool { n := peak(rows); return n > 0 && n <= card.Memory }
	if !fits(m) {
		return "–"
	}
	if fits(mostPlanned) {
		return fmt.Sprint(mostPlanned, "+")
	}
	lo, hi := m, mostPlanned
	for rows, n := range known {
		if n > 0 && n <= card.Memory {
			lo = max(lo, rows)
		} else {
			hi = min(hi, rows)
		}
	}
	for hi-lo > max(1, lo/32) { // as Planner.On
		mid := (lo + hi) / 2
		if n := peak(hi); n > 0 {
			mid = lo + int(float64(hi-lo)*float64(card.Memory-peak(lo))/float64(n-peak(lo)))
		}
		if mid = min(max(mid, lo+1), hi-1); fits(mid) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return fmt.Sprint(lo)
}

// TestCardsTable holds the first figures of the table in docs/memory.md, the peaks of the
// smallest model: a change of the memory that a step takes makes the table anew.
func TestCardsTable(t *testing.T) {
	page, err := os.ReadFile(cardsPage)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(page), cardsBegin)
	old, tail, ok2 := strings.Cut(rest, cardsEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no table that begins %q", cardsPage, cardsBegin)
	}
	if *update {
		traintest.WriteFile(t, cardsPage, head+cardsTable(t)+cardsEnd+tail)
		return
	}
	for _, w := range ways {
		p := shapes[0].planner(t, tableLanguages[0], w.lines)
		want := float64(p.peak(t, tableLanguages[0])) / (1 << 30)
		_, row, ok := strings.Cut(old, fmt.Sprintf("| %s | %s | ", shapes[0].name, w.name))
		var got float64
		if _, err := fmt.Sscanf(row, "%f", &got); !ok || err != nil || got < want*0.97-0.05 || got > want*1.03+0.05 {
			t.Errorf("%s, %s: %.2f GiB are planned, docs/memory.md has %.1f (%v)\n  fix: go test ./internal/train -run CardsTable "+
				"-update -timeout 2h", shapes[0].name, w.name, want, got, err)
		}
	}
}

// cardsTable is the table, without the newline at its end.
func cardsTable(t *testing.T) string {
	var b strings.Builder
	b.WriteString(cardsBegin + " peak, GiB |")
	for _, c := range UsualCards(gpu.Discrete) {
		b.WriteString(" " + strings.TrimSpace(strings.TrimSuffix(c.Name, " card")) + " |")
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", 1+len(UsualCards(gpu.Discrete))))
	for _, s := range shapes {
		for _, w := range ways {
			fmt.Fprintf(&b, "\n| %s | %s | %s |", s.name, w.name, strings.Join(s.cells(t, w.lines), " | "))
		}
	}
	return b.String()
}
