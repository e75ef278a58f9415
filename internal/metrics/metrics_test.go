package metrics

import (
	"bufio"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"concord/internal/cluster/coordinator"
	"concord/internal/report"
)

// full is a set that has seen a record of each kind, with a name that must be escaped.
func full() *Set {
	s := &Set{Version: "v1", Status: func() (coordinator.Status, bool) {
		return coordinator.Status{Step: 7, Term: 2, Waiting: `"aa"`, Evicted: make([]coordinator.Eviction, 1),
			Pairs:   []coordinator.PairStatus{{Workers: [2]uint32{2, 3}, Path: "relayed", Relayed: 77}},
			Members: []coordinator.MemberStatus{{Worker: 3, Name: "a\"b\\c\n\xff", State: "working", Rows: 4, Speed: 12.5}}}, true
	}}
	s.Observe(report.Step{Step: 1, Steps: 9, Seconds: 2, Tokens: 10, LossByLang: map[string]report.Float{"aa": 1.5},
		TokensByLang: map[string]int{"aa": 4},
		Exchange:     &report.Exchange{SentBytes: 100, ReceivedBytes: 50, Exposed: 0.5, Missing: []string{"x"}}})
	s.Observe(report.Step{Step: 4, Steps: 9, Seconds: 6, Tokens: 30, LossByLang: map[string]report.Float{"aa": 1.25},
		TokensByLang: map[string]int{"aa": 12},
		GradNorm:     report.Float(math.NaN()), Exchange: &report.Exchange{SentBytes: 300}})
	s.Observe(report.Eval{Rows: []report.EvalRow{{Lang: "aa", Seen: true, BitsPerByte: 2.5}}})
	s.Observe("nothing of these")
	return s
}

var (
	sampleLine = regexp.MustCompile(`^([a-z_]+)(\{[a-z_]+="(?:[^"\\\n]|\\["\\n])*"(?:,[a-z_]+="(?:[^"\\\n]|\\["\\n])*")*\})? (\S+)$`)
	helpLine   = regexp.MustCompile(`^# HELP ([a-z_]+) [^\n]+$`)
	typeLine   = regexp.MustCompile(`^# TYPE ([a-z_]+) (counter|gauge)$`)
)

// parse holds the text to the exposition format: each family once, with its help, its type
// and then its samples, each set of labels once; counters end in _total.
func parse(t *testing.T, text string) map[string]float64 {
	t.Helper()
	out, seen, family, kind := map[string]float64{}, map[string]bool{}, "", ""
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		line := lines.Text()
		if m := helpLine.FindStringSubmatch(line); m != nil {
			if seen[m[1]] {
				t.Errorf("%s stands twice", m[1])
			}
			family, kind, seen[m[1]] = m[1], "", true
			continue
		}
		if m := typeLine.FindStringSubmatch(line); m != nil {
			if kind = m[2]; m[1] != family || (kind == "counter") != strings.HasSuffix(family, "_total") {
				t.Errorf("%q after the help of %s", line, family)
			}
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		if m == nil || m[1] != family || kind == "" {
			t.Errorf("no sample of %s: %q", family, line)
			continue
		}
		v, err := strconv.ParseFloat(m[3], 64)
		if _, twice := out[m[1]+m[2]]; err != nil || twice {
			t.Errorf("%q: %v, there twice: %v", line, err, twice)
		}
		out[m[1]+m[2]] = v
	}
	return out
}

func text(t *testing.T, s *Set) string {
	t.Helper()
	var b strings.Builder
	if err := s.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWrite(t *testing.T) {
	got := parse(t, text(t, full()))
	for name, want := range map[string]float64{
		"concord_steps_made_total": 4, "concord_step_seconds_total": 8, "concord_tokens_total": 40, "concord_supervised_tokens_total": 16,
		"concord_exchange_sent_bytes_total": 400, "concord_exchange_wait_seconds_total": 0.5, "concord_exchange_missing_total": 1,
		"concord_step": 4, `concord_loss_nats{language="aa"}`: 1.25, `concord_bits_per_byte{language="aa",seen="true"}`: 2.5,
		"concord_committed_steps": 7, "concord_evictions_total": 1, `concord_waiting{cause="\"aa\""}`: 1,
		`concord_machine_rows{machine="3",name="a\"b\\c\n` + "\uFFFD" + `"}`: 4, `concord_build_info{version="v1"}`: 1,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v, %v; want %v", name, v, ok, want)
		}
	}
	if _, there := got["concord_gradient_norm"]; there {
		t.Error("a norm that is not finite is shown")
	}
	if n := len(parse(t, text(t, &Set{}))); n > 6 {
		t.Errorf("%d figures before the first step", n)
	}
}

// TestDashboard: every metric that the dashboard's queries and the page name is served,
// and the page names every metric.
func TestDashboard(t *testing.T) {
	served := map[string]bool{}
	for _, line := range strings.Split(text(t, full()), "\n") {
		if m := typeLine.FindStringSubmatch(line); m != nil {
			served[m[1]] = true
		}
	}
	raw, err := os.ReadFile("../../docs/monitoring/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(raw, &board); err != nil || len(board.Panels) == 0 {
		t.Fatalf("%d panels, %v", len(board.Panels), err)
	}
	name := regexp.MustCompile(`concord_[a-z_]+`)
	for _, p := range board.Panels {
		if len(p.Targets) == 0 {
			t.Errorf("panel %q asks for nothing", p.Title)
		}
		for _, q := range p.Targets {
			names := name.FindAllString(q.Expr, -1)
			if len(names) == 0 {
				t.Errorf("panel %q asks %q", p.Title, q.Expr)
			}
			for _, n := range names {
				if !served[n] {
					t.Errorf("panel %q asks for %s, which is not served", p.Title, n)
				}
			}
		}
	}
	page, err := os.ReadFile("../../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, n := range name.FindAllString(string(page), -1) {
		named[n] = true
		if !served[n] {
			t.Errorf("docs/monitoring.md names %s, which is not served", n)
		}
	}
	for n := range served {
		if !named[n] {
			t.Errorf("docs/monitoring.md does not name %s", n)
		}
	}
}

// TestServe: GET /metrics is answered, nothing else is, and an address in use is an error.
func TestServe(t *testing.T) {
	at, stop, err := Serve("127.0.0.1:0", full())
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	r, err := http.Get("http://" + at + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/plain; version=0.0.4") ||
		parse(t, string(b))["concord_step"] != 4 {
		t.Errorf("%s, %v:\n%s", r.Header, err, b)
	}
	for _, c := range [][2]string{{http.MethodGet, "/"}, {http.MethodPost, "/metrics"}, {http.MethodGet, "/debug/pprof/"}} {
		q, err := http.NewRequestWithContext(t.Context(), c[0], "http://"+at+c[1], nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode == http.StatusOK {
			t.Errorf("%s %s is answered", c[0], c[1])
		}
	}
	if _, _, err := Serve(at, full()); err == nil {
		t.Error("an address in use is taken")
	}
}
