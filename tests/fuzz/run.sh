#!/bin/bash
# Fuzzes for a while, and tells per target how often it ran, and what it reached.
#
#   tests/fuzz/run.sh SECONDS [TARGET...]      each target so long; all of them where none is named
#
# Inputs that reach something new are kept in build/fuzz/found/TARGET for the next time. One that crashes is there too, as crash-...: once
# it is understood it goes to tests/fuzz/corpus/TARGET, where every run of the tests tries it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
seconds=${1-}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || {
    sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 64
}
shift
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for source in tests/fuzz/fuzz_*.c; do
        source=${source##*/fuzz_}
        targets+=("${source%.c}")
    done
fi

launcher=()
! command -v ccache >/dev/null || launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache)
cmake --preset fuzz "${launcher[@]}" >build/fuzz.log 2>&1 || { cat build/fuzz.log >&2; exit 1; }
cmake --build --preset fuzz --target "${targets[@]/#/fuzz_}" >build/fuzz.log 2>&1 || { cat build/fuzz.log >&2; exit 1; }
found=build/fuzz/found

# One target, in the background of the others.
fuzz() {
    local target=$1 code=0
    mkdir -p "$found/$target"
    "build/fuzz/bin/fuzz_$target" -max_total_time="$seconds" -print_final_stats=1 -artifact_prefix="$found/$target/" \
        "$found/$target" "tests/fuzz/corpus/$target" >"$found/$target.log" 2>&1 || code=$?
    echo "$code" >"$found/$target.code"
}
mkdir -p "$found"
for target in "${targets[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n || true; done
    fuzz "$target" &
done
wait

failed=0
printf '%-18s %12s %8s %7s %10s  %s\n' target executions 'a second' edges 'in corpus' result
for target in "${targets[@]}"; do
    log=$found/$target.log
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -1)
    rate=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log" | tail -1)
    edges=$(grep -oE ' cov: [0-9]+' "$log" | tail -1 | tr -dc 0-9 || true)
    corpus=$(grep -oE ' corp: [0-9]+' "$log" | tail -1 | tr -dc 0-9 || true)
    result=fine
    if [ "$(cat "$found/$target.code")" -ne 0 ]; then
        failed=1
        result="FAILED: $(grep -oE 'ERROR: .*|Test unit written to .*' "$log" | tail -1 || true)"
    fi
    printf '%-18s %12s %8s %7s %10s  %s\n' "$target" "${runs:--}" "${rate:--}" "${edges:--}" "${corpus:--}" "$result"
done
exit "$failed"
