#!/usr/bin/env bash
# run.sh [BLOCK …]: makes the runs that docs/results/plan.md registers, in its order, and goes on
# where an earlier call, in this checkout or another (but for audits), has stopped. From the repository's root:
#
#     go build -o bin/concord ./cmd/concord && bash docs/results/run.sh
#
# Finished runs are kept as lines in docs/results/*.jsonl, to be committed. CPU seconds are
# added to docs/results/cost.tsv.
set -euo pipefail
concord=${CONCORD:-bin/concord} seeds=${SEEDS:-6} jobs=${JOBS:-1} here=docs/results work=runs/evidence
directions=pcgrad,mgda,cagrad,upgrad,random

mkdir -p $work/keyed # names8 with the symbol's name as the key of its translations
for lang in es de ru hi ar sw zh tr; do
  for part in train heldout; do
    sed -E 's/^\{("prompt":"(.*) > '$lang':")/{"key":"\2",\1/' examples/names8/data/$lang.$part.jsonl >$work/keyed/$lang.$part.jsonl
  done
done

mkdir -p $work/minority # eight languages with the same prompts; the last has another answer
for i in 0 1 2 3 4 5 6 7; do
  answer=w
  [ $i = 7 ] && answer=s
  awk -v answer=$answer -v file=$work/minority/l$i 'BEGIN {
    for (i = 0; i < 440; i++) {
      k = i * 2654435761 + 97
      p = sprintf("%c%c%c:", 97 + k % 13, 97 + int(k / 13) % 13, 97 + int(k / 169) % 13)
      printf "{\"key\":\"%d\",\"prompt\":\"%s\",\"completion\":\" %s\"}\n", i, p, answer > (file (i < 400 ? ".train" : ".heldout") ".jsonl")
    }
  }'
done

# timed BLOCK COMMAND …: runs the command and adds what it took.
timed() {
  local block=$1 rc=0 before after
  shift
  times >$work/times # not in a subshell, whose children took nothing
  before=$(tail -1 $work/times)
  nice -n 5 "$@" || rc=$?
  times >$work/times
  after=$(tail -1 $work/times)
  printf '%s\t%s\t%s\t%s\n' "$block" "$(cpu "$before" "$after")" "$rc" "$*" >>$here/cost.tsv
  return $rc
}

# cpu BEFORE AFTER: user and system seconds of children between two lines of times.
cpu() {
  awk -v a="$1" -v b="$2" 'function s(t, p, q) { split(t, p, /[ms]/); return p[1] * 60 + p[2] }
    BEGIN { split(a, x, " "); split(b, y, " "); printf "%.0f", s(y[1]) + s(y[2]) - s(x[1]) - s(x[2]) }'
}

# cells BLOCK DATA SUFFIX SCOPES EXTRA …: a comparison of every direction.
cells() {
  local block=$1 data=$2 name=$3 scopes=$4
  shift 4
  timed "$block" "$concord" compare $here/$data.toml --methods $directions --scopes "$scopes" --lrs 1e-3,2e-3,4e-3 \
    --tune-seeds 1 --seeds "$seeds" --jobs "$jobs" --out $work/$name-compare --results $here/$name.jsonl "$@"
}
aligned="-o data.align=key -o data.temperature=1"
many="-o batch.rows=64"

block_data() { :; } # nothing but the files above
block_0() { timed 0 "$concord" compare $here/minority.toml --methods mgda,pcgrad,upgrad,cagrad,stch --scopes global --lrs 1e-3,2e-3 \
  --tune-seeds 1 --seeds 4 --jobs "$jobs" --out $work/minority-compare --results $here/minority.jsonl; }
block_1() { cells 1 names8 names8 layer; }
block_2() { cells 2 names8 names8-aligned layer $aligned; }
block_3() { cells 3 names8 names8 layer --controls direction; }
# keep NAME: one file of an audit's folder, its lock and the results of its runs, a line each, without their Grams. One that is there stays:
# an audit starts anew in another checkout.
keep() {
  [ -e "$here/$1.jsonl" ] && return
  { tr -d '\n' <"$work/$1/audit.lock.json" && echo && sed -E 's/"grams":\[.*\],"languages"/"languages"/' "$work/$1"/runs/*/result.json; } >"$work/$1.jsonl"
  mv "$work/$1.jsonl" "$here/$1.jsonl"
}
block_4() { timed 4 "$concord" audit $here/names8.toml --controls --remedies none --steps 24 --budget "${BUDGET:-60m}" --seeds "$seeds" \
  --out $work/names8-audit && keep names8-audit; }
block_5() { timed 5 "$concord" audit $here/udhr8.toml --controls --remedies none --steps 24 --budget "${BUDGET:-60m}" --seeds "$seeds" \
  --out $work/udhr8-audit && keep udhr8-audit; }
block_6() { cells 6 udhr8 udhr8 layer; }
block_7() { cells 7 names8 names8 layer,global,tensor --controls direction; }
block_8() { cells 8 names8 names8-aligned layer,global,tensor --controls direction $aligned; }
block_9() { cells 9 names8 names8-rows8 layer --controls direction $many; }
block_10() { cells 10 names8 names8-rows8-aligned layer --controls direction $aligned $many; }
block_11() { cells 11 udhr8 udhr8 layer,global,tensor --controls direction; }
block_12() { SEEDS=12 && seeds=12 && block_7; }

for block in "${@:-0 1 2 3 4 5 6 7 8 9 10 11 12}"; do
  for b in $block; do
    "block_$b"
  done
done
