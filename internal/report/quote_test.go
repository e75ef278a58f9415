package report

import (
	"os/exec"
	"testing"
)

// A shell gives every argument back as it was.
func TestQuote(t *testing.T) {
	args := []string{"runs/x", "", "my runs/new model", "it's", `back\slash`, "$HOME", "a;b", "~", "*", "ä-é", "new\nline"}
	for _, a := range args {
		if sh, err := exec.LookPath("sh"); err == nil {
			got, err := exec.Command(sh, "-c", "printf %s "+quoteFor("linux", a)).Output()
			if err != nil || string(got) != a {
				t.Errorf("%q comes back as %q (%v)", a, got, err)
			}
		}
	}
	for arg, want := range map[string]string{`C:\runs\x`: `C:\runs\x`, `C:\my runs\x`: `"C:\my runs\x"`, "": `""`} {
		if got := quoteFor("windows", arg); got != want {
			t.Errorf("%q is quoted %s, want %s", arg, got, want)
		}
	}
	if got := quoteFor("linux", "runs/x-1.2"); got != "runs/x-1.2" {
		t.Errorf("needless quotes: %s", got)
	}
}

func TestCommand(t *testing.T) {
	if got, want := Command("compare", "a b.toml", "--seeds", "3"), `concord compare `+Quote("a b.toml")+` --seeds 3`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
