#!/bin/bash
# Checks every shell script with shellcheck.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tests/checks/files.sh '*.sh' '.ci/run' | xargs -0 shellcheck
