// Package cluster tests what is here for clusters.
package cluster

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

// jobFields are the fields of a batch/v1 Job that the manifests use, as the schema of Kubernetes
// has them; README.md has the commands that check all of both manifests.
var jobFields = strings.Fields(`apiVersion kind metadata metadata.name spec
	spec.parallelism spec.completions spec.completionMode spec.backoffLimit spec.template spec.template.spec
	spec.template.spec.restartPolicy spec.template.spec.terminationGracePeriodSeconds
	spec.template.spec.containers spec.template.spec.containers.name spec.template.spec.containers.image
	spec.template.spec.containers.args
	spec.template.spec.containers.ports spec.template.spec.containers.ports.containerPort spec.template.spec.containers.ports.protocol
	spec.template.spec.containers.resources spec.template.spec.containers.resources.limits
	spec.template.spec.containers.resources.limits.nvidia.com/gpu
	spec.template.spec.containers.env spec.template.spec.containers.env.name spec.template.spec.containers.env.value
	spec.template.spec.containers.volumeMounts spec.template.spec.containers.volumeMounts.name
	spec.template.spec.containers.volumeMounts.mountPath spec.template.spec.containers.volumeMounts.readOnly
	spec.template.spec.volumes spec.template.spec.volumes.name spec.template.spec.volumes.persistentVolumeClaim
	spec.template.spec.volumes.persistentVolumeClaim.claimName`)

// fieldsOf are the paths of a YAML text in which a field stands on a line of its own.
func fieldsOf(text string) (out []string) {
	type field struct {
		indent int
		path   string
	}
	var in []field
	for line := range strings.Lines(text) {
		bare := strings.TrimLeft(line, " -")
		name, _, ok := strings.Cut(bare, ":")
		if !ok || strings.HasPrefix(bare, "#") || strings.ContainsAny(name, "=/ ") && name != "nvidia.com/gpu" {
			continue
		}
		f := field{len(line) - len(bare), strings.TrimSpace(name)}
		for len(in) > 0 && in[len(in)-1].indent >= f.indent {
			in = in[:len(in)-1]
		}
		if len(in) > 0 {
			f.path = in[len(in)-1].path + "." + f.path
		}
		in, out = append(in, f), append(out, f.path)
	}
	return out
}

// Every field of the Job is one of Kubernetes, and the JobSet's job is the Job: so are its own.
func TestManifestsHaveFieldsOfTheSchema(t *testing.T) {
	read := func(name string) string {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	job, set := read("indexed-job.yaml"), read("jobset.yaml")
	used := fieldsOf(job)
	for _, f := range used {
		if !slices.Contains(jobFields, f) {
			t.Errorf("%q is no field of a Job", f)
		}
	}
	for _, f := range jobFields {
		if !slices.Contains(used, f) {
			t.Errorf("the Job lacks %q", f)
		}
	}
	_, spec, _ := strings.Cut(job, "\nspec:\n")
	var inner strings.Builder
	for line := range strings.Lines(spec) {
		inner.WriteString("        " + line)
	}
	head, ok := strings.CutSuffix(set, inner.String())
	if !ok {
		t.Fatal("the JobSet's job is not the Job")
	}
	want := strings.Fields(`apiVersion kind metadata metadata.name spec spec.replicatedJobs spec.replicatedJobs.name
		spec.replicatedJobs.replicas spec.replicatedJobs.template spec.replicatedJobs.template.spec`)
	if got := fieldsOf(head); !slices.Equal(got, want) {
		t.Errorf("the JobSet's own fields are %q", got)
	}
}
