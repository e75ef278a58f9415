package htmlreport

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// browser finds Chromium. Without one the test is skipped, but
// REQUIRE_BROWSER=1 (set by CI) makes that a failure.
func browser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			return p
		}
	}
	if os.Getenv("REQUIRE_BROWSER") != "" {
		t.Fatal("no Chromium on the PATH")
	}
	t.Skip("no Chromium on the PATH: the page is not tried in a browser")
	return ""
}

// dom opens the file in a headless browser of the given width, without network,
// and returns the page's markup as its scripts left it.
func dom(t *testing.T, exe, url, width string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	args := []string{"--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync",
		"--proxy-server=127.0.0.1:9", "--user-data-dir=" + t.TempDir(), "--window-size=" + width + ",800", "--dump-dom", url}
	if os.Getuid() == 0 {
		args = append([]string{"--no-sandbox"}, args...)
	}
	out, err := exec.CommandContext(ctx, exe, args...).Output()
	if err != nil {
		t.Fatalf("%s: %v", exe, err)
	}
	return string(out)
}

// Of sixteen languages each is a whole line with its name at its end, a rare one too,
// the matrix opens on the whole run, and nothing is wider than a phone.
func TestManyLanguagesInBrowser(t *testing.T) {
	exe, dir := browser(t), sixteen(t)
	path := filepath.Join(dir, "report.html")
	if err := os.WriteFile(path, html(t, load(t, dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	got := dom(t, exe, "file://"+path+"#selftest", "1200") + dom(t, exe, "file://"+path, "1200")
	for _, want := range []string{`data-lines="16"`, `data-broken="0"`, `data-labels="16"`, `data-phone="360"`,
		"all buckets together, whole run", "beyond chance: l00–l01"} {
		if !strings.Contains(got, want) {
			m := regexp.MustCompile(`<html[^>]*>`).FindString(got)
			t.Errorf("the page lacks %s: %s", want, m)
		}
	}
}

func TestInBrowser(t *testing.T) {
	exe := browser(t)
	dir := sample(t, 12)
	if err := os.WriteFile(filepath.Join(dir, "analysis.json"),
		[]byte(`{"note":"n","tables":[{"title":"t","columns":["layer","x"],"rows":[[0,0.5],[1,null]]}],`+
			`"lines":[{"title":"l","x_label":"layer","y_label":"y","x":[0,1],"series":[{"name":"s","y":[1,null]}]}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "report.html")
	if err := os.WriteFile(path, html(t, load(t, dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, width := range []string{"500", "1200"} { // the narrowest window of headless Chromium, and a desktop's
		got := dom(t, exe, "file://"+path+"#selftest", width)
		attribute := func(name string) string {
			if m := regexp.MustCompile(`<html[^>]* data-` + name + `="([^"]*)"`).FindStringSubmatch(got); m != nil {
				return m[1]
			}
			return ""
		}
		if e := attribute("error"); e != "" || attribute("ready") != "17" {
			t.Errorf("width %s: %s figures drawn, error %q", width, attribute("ready"), e)
		}
		if moved, all, _ := strings.Cut(attribute("sliders"), "/"); all != "3" || moved != all {
			t.Errorf("width %s: %s of %s sliders change something", width, moved, all)
		}
		if content, window, _ := strings.Cut(attribute("width"), "/"); content == "" || len(content) > len(window) ||
			len(content) == len(window) && content > window {
			t.Errorf("width %s: the page is %s wide in a window of %s", width, content, window)
		}
		if attribute("phone") != "360" {
			t.Errorf("width %s: on 360 pixels the page is %s wide", width, attribute("phone"))
		}
		if cut := attribute("cut"); width == "500" && cut != "0" {
			t.Errorf("on 360 pixels the table of held-out text is cut by %q", cut)
		}
		if strings.Contains(got, "<b onload") || !strings.Contains(got, "עברית") {
			t.Errorf("width %s: a name of the run is not shown as text", width)
		}
	}
}

// The ninth language's line is dashed too: only the name tells that one was never trained on.
func TestUnseenIsSaid(t *testing.T) {
	unseen := 0
	for _, l := range load(t, sample(t, 12)).evalLines() {
		if l.dashed != strings.HasSuffix(l.name, " (unseen)") {
			t.Errorf("%q: dashed %v", l.name, l.dashed)
		}
		if l.dashed {
			unseen++
		}
	}
	if unseen != 1 {
		t.Errorf("%d lines of languages that were never trained on", unseen)
	}
}

// A run on many machines: the page names each pair, its path, and what was relayed.
func TestPairsInBrowser(t *testing.T) {
	exe := browser(t)
	dir := sample(t, 6, `{"kind":"step","step":7,"loss_by_lang":{"aa":1},"exchange":{"workers":3}}`)
	f := load(t, dir)
	f.Machines.Pairs = []Pair{{Machines: "1 first – 2 kitchen", Path: "direct"},
		{Machines: "2 kitchen – 3 attic", Path: "relayed", Relayed: 5 << 20}}
	path := filepath.Join(dir, "report.html")
	if err := os.WriteFile(path, html(t, f), 0o600); err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(<[^>]*>)+`).ReplaceAllString(dom(t, exe, "file://"+path, "1200"), "|")
	const want = "|machines|path|relayed|1 first – 2 kitchen|direct|2 kitchen – 3 attic|relayed|5.0 MiB|"
	if !strings.Contains(text, want) {
		at := strings.LastIndex(text, "How the machines reached each other")
		t.Errorf("the page lacks %q: %.400q", want, text[max(at, 0):])
	}
}
