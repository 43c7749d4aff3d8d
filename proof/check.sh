#!/usr/bin/env bash
# Check the models exhaustively with spin: the protocol must hold, and each former one must fail. About two minutes.
set -euo pipefail
cd "$(dirname "$0")"
command -v spin >/dev/null && command -v gcc >/dev/null || { echo 'make proof needs spin and gcc (Debian: spin gcc)'; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# check EXPECTED MODEL WHAT [-DOPTION…]
check() {
    local expected=$1 model=$2 what=$3; shift 3
    local began=$SECONDS
    rm -rf "${work:?}"/*
    cp "$model.pml" "$work/"
    # A search that fails is over soon: compiling it takes longer than running it.
    local optimized=-O2
    if [ "$expected" = fails ]; then optimized=-O0; fi
    (cd "$work" && spin "$@" -a "$model.pml" >/dev/null && gcc $optimized -w -DSAFETY -DCOLLAPSE -DNOREDUCE -DMEMLIM=3000 -o pan pan.c)
    # -E: a choice that leads nowhere is no error. -m: how deep a path may be.
    (cd "$work" && ./pan -E -m50000 -w24 >out 2>&1) || true
    local found=holds
    if grep -q 'errors: [1-9]' "$work/out"; then found=fails; fi
    if [ $found = holds ] && grep -qE 'not completed|max search depth|errors: 0' "$work/out" &&
        ! { grep -q 'errors: 0' "$work/out" && ! grep -q 'not completed\|too small' "$work/out"; }; then found=unknown; fi
    local states; states=$(awk '/states, stored/ {print $1; exit}' "$work/out")
    printf '%-10s %-7s %10s states %4d s  %s\n' "$model" "$found" "${states:-?}" $((SECONDS - began)) "$what"
    if [ "$found" != "$expected" ]; then
        failed=1
        echo "    expected that it $expected; the events:"
        (cd "$work" && [ -e "$model.pml.trail" ] && spin -t "$@" "$model.pml" | grep -E '^ +(process|a copy|server|it is|the viewer|relay|origin)' || tail -5 out)
    fi
}

check holds numbering 'two incarnations, numbers' -DSERVERS=2
check holds numbering 'two incarnations, numbers and a viewer' -DSERVERS=2 -DVIEWER=1
check holds numbering 'two incarnations, a process is killed' -DSERVERS=2 -DKILLS=1
if [ "${1:-}" != --quick ]; then
    check holds numbering 'three incarnations: data is lost twice' -DSERVERS=3
fi
check fails numbering 'the protocol before' -DSERVERS=2 -DOLD
check fails numbering 'only time settles a log' -DSERVERS=2 -DOLD_TIME
check fails numbering 'an incarnation is noted late' -DSERVERS=2 -DOLD_RUN
check fails numbering 'epochs have no order' -DSERVERS=3 -DOLD_EPOCHS
check holds relay 'two relays, a peer that loses data'
check fails relay 'a jump is appended without compare-and-set' -DNO_COMPARE
check fails relay 'the peer is read before the position is known' -DREAD_FIRST
exit $failed
