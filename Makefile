# Two commands matter to a newcomer: make demo, make test.
GO ?= go
BIN := bin/concord
RUN ?= examples/names8/run.toml
# Packages that are tested at once: many wait for a network or a disk.
P := $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); [ $$n -gt 3 ] && echo $$n || echo 3)
# Tests of one package that run at once: those of many machines wait most of the time.
PARALLEL := $(shell expr $(P) + 1)
# Extra flags of the demo, e.g. make demo FLAGS='-o schedule.steps=20'
FLAGS ?=

.PHONY: demo demo3 soak test race fuzz build driver check lint bench clean

## demo: fine-tune the shipped model in eight languages (at most 5 minutes on two CPU cores)
demo: driver
	$(BIN) train $(RUN) $(FLAGS)

## demo3: one run on three workers of this machine, over QUIC (about a minute on two CPU cores)
demo3: driver
	$(BIN) train examples/three/run.toml --spawn 2 $(FLAGS)

## soak: half an hour in which workers and coordinators are killed and join all the time, then 100 such events on each store, replayed
soak:
	CONCORD_EVENTS=100 $(GO) test ./internal/cluster -run TestEvents -v -timeout 60m
	CONCORD_SOAK=30m $(GO) test ./internal/cluster -run TestSoak -v -timeout 60m

## test: every test, on the preferred adapter, the longest packages and those that wait first; make check vets
test: driver
	REQUIRE_GPU=1 $(GO) test -vet=off -p $(P) -parallel $(PARALLEL) -timeout 20m ./internal/train ./cmd/concord ./tensor ./internal/cluster ./internal/rundir ./transport ./...

## race: all that has goroutines and needs no adapter, under the race detector, with fewer random runs
race:
	$(GO) test -vet=off -race -short -p $(P) -parallel $(PARALLEL) -timeout 20m ./internal/cluster/... ./transport ./internal/filelock ./moo/... ./internal/data

# Seconds of each fuzz test. Inputs are shortened in 20 tries: a minute of it, the tool's default, leaves no time to try others.
FUZZ ?= 20s

## fuzz: every reader of files and messages, each for a while (seven minutes on a quiet machine)
fuzz:
	@grep -rn '^func Fuzz' --include='*_test.go' . | sed -E 's|^(.*)/[^/]*:[0-9]+:func (Fuzz[A-Za-z]*).*|\1 \2|' | sort | while read -r dir name; do \
		$(GO) test $$dir -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZ) -fuzzminimizetime 20x -parallel 2 || exit 1; done

## build: the one binary
build:
	$(GO) build -o $(BIN) ./cmd/concord

## driver: make sure a Vulkan, Metal or DX12 adapter exists
driver: build
	@$(BIN) doctor --list >/dev/null 2>&1 || sh .ci/vulkan
	@$(BIN) doctor --list >/dev/null

## check: what CI checks before the tests
check:
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'run gofmt -w on these'; exit 1; }
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

## bench: kernels and whole steps, on this machine
bench: driver
	$(BIN) bench gemm
	$(BIN) bench gram
	$(BIN) bench step --methods mean,pcgrad $(RUN)

clean:
	rm -rf bin
