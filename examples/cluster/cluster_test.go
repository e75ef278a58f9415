// Package cluster tests what is here for clusters.
package cluster

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// srun stands for Slurm's: two tasks on this node.
const srun = `#!/bin/bash
while [ "${1#--}" != "$1" ]; do shift; done
for id in 0 1; do SLURM_PROCID=$id SLURMD_NODENAME=node$id "$@" & done
wait
`

// concord stands for the program: machine 1 takes its time to print its line.
const concord = `#!/bin/bash
echo "$*" >>"$SHARED/calls"
case $1 in
worker) line=$3; [ "${line#@}" = "$line" ] || line=$(cat "${line#@}"); echo "${CONCORD_JOIN:-$line}" >>"$SHARED/joined" ;;
*) sleep 1; mkdir -p "$SHARED/runs/tiny"; echo " join    concord worker --join '$LINE'"; sleep 1 ;;
esac
`

// A job runs, and is requeued onto other nodes: the workers join by the line of the
// machine that leads now, not by the one that they find.
func TestSlurmScript(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"srun": srun, "concord": concord} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	shared := filepath.Join(dir, "shared")
	for _, c := range []struct{ line, leads string }{
		{"concord1/10.0.0.1:4433/first", "train run.toml --listen :4433 --workers 2 -o run.dir=" + shared + "/runs --plain"},
		{"concord1/10.0.0.2:4433/second", "resume " + shared + "/runs/tiny --listen :4433 --workers 2 --plain"},
	} {
		os.Remove(filepath.Join(shared, "joined"))
		os.Remove(filepath.Join(shared, "calls"))
		job := exec.Command(bash, "run.slurm", "run.toml")
		job.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "SLURM_JOB_ID=7", "SLURM_NTASKS=2", "SLURM_SUBMIT_DIR="+dir,
			"SHARED="+shared, "LINE="+c.line, "TMPDIR="+dir)
		if out, err := job.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		joined, _ := os.ReadFile(filepath.Join(shared, "joined"))
		if got := strings.TrimSpace(string(joined)); got != c.line {
			t.Errorf("the worker joins by %q, machine 1 is at %q", got, c.line)
		}
		calls, _ := os.ReadFile(filepath.Join(shared, "calls"))
		if !strings.Contains(string(calls), c.leads) {
			t.Errorf("machine 1 is not started by %q: %s", c.leads, calls)
		}
		if strings.Contains(string(calls), "concord1/") {
			t.Errorf("the secret is on a command line: %s", calls)
		}
	}
}

// Containers that ask for an NVIDIA GPU ask for its Vulkan driver, too: by default they
// are given compute and utility alone.
func TestManifestsAskForGraphics(t *testing.T) {
	for _, name := range []string{"indexed-job.yaml", "jobset.yaml"} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		gpus := strings.Count(text, "nvidia.com/gpu:")
		if asked := strings.Count(text, "name: NVIDIA_DRIVER_CAPABILITIES"); gpus == 0 || asked != gpus ||
			!strings.Contains(text, "value: compute,utility,graphics") {
			t.Errorf("%s: %d containers with a GPU, %d ask for its drivers", name, gpus, asked)
		}
	}
}
