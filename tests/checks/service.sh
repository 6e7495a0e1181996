#!/bin/bash
# The systemd unit: systemd knows every key of it, and finds it exposed to less than 2 of 10.
#
#   tests/checks/service.sh UNIT
set -euo pipefail
unit=$1
if ! command -v systemd-analyze >/dev/null; then
    echo "skipped: there is no systemd-analyze here"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Looked at as it would be after it was installed. 20 is 2.0.
systemd-analyze security --offline=true --threshold=20 "$unit" >"$work/report" 2>"$work/errors" || {
    cat "$work/report" "$work/errors" >&2
    echo "FAILED: systemd finds it too exposed" >&2
    exit 1
}
tail -1 "$work/report"
# What systemd doesn't know it ignores, but for a line.
if grep -E 'Unknown|Failed to parse|ignoring' "$work/errors" >&2; then
    echo "FAILED: systemd doesn't understand it" >&2
    exit 1
fi
