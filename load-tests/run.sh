#!/usr/bin/env bash
# run.sh SCENARIO: runs load-tests/SCENARIO.js with k6 against a release gateway of its own under the policy of the same
# name (flash_sale: policies/flash-sale.yaml), on free loopback ports with an empty queue. Fails when a threshold of the
# scenario is broken.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=load-tests/gateway.sh
source load-tests/gateway.sh

start_gateway "policies/${1//_/-}.yaml"
k6 run --quiet --no-usage-report -e "INGEST=$ingest" -e "ADMIN=$admin" "load-tests/$1.js"
