#!/usr/bin/env bash
# Plays every scenario under every law: the league table and the pictures of docs/CONTROL.md.
set -euo pipefail
cd "$(dirname "$0")/.."

scenarios=(load-tests/sim/*.yaml)
# Pictures of these; `tidegate simulate --plot` draws any other.
drawn=(load-tests/sim/{flash-sale,drain-falls,signal-lost-hold,bulk-flood,retry-storm}.yaml load-tests/sim/tuning/*.yaml)

target/release/tidegate simulate --scenario "${scenarios[@]}" --league docs/control/league.md
printf '# Other laws beside it\n\nPeak over target, and share of the workers used ([what they are](../SIMULATE.md#other-laws)).\n\n%s\n' \
    "$(cat docs/control/league.md)" >docs/control/league.md
target/release/tidegate simulate --scenario "${drawn[@]}" --plot docs/control >/dev/null
echo "written: docs/control/league.md and ${#drawn[@]} pictures"
