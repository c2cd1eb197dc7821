#!/usr/bin/env bash
# run.sh SCENARIO.js: runs a k6 scenario of this folder against a release gateway of its own, on free loopback ports
# with an empty queue. Fails when a threshold of the scenario is broken.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=load-tests/gateway.sh
source load-tests/gateway.sh

start_gateway policies/flash-sale.yaml
k6 run --quiet --no-usage-report -e "INGEST=$ingest" -e "ADMIN=$admin" "load-tests/$1"
