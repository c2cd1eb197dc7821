#!/usr/bin/env bash
# A worker of a list: REDIS_URL=redis://127.0.0.1:6379 WORKER=w-1 list_worker.sh jobs:standard
set -euo pipefail
queue=$1 processing=$1:processing:${WORKER:-w-1}
ask() { redis-cli -u "${REDIS_URL:-redis://127.0.0.1:6379}" --raw "$@"; }

handle() { cat; } # the job comes on standard input: one line of JSON, for jq or whatever reads JSON

# What it had in its hands when it died goes back first.
while [ -n "$(ask LMOVE "$processing" "$queue" LEFT RIGHT)" ]; do :; done
while true; do
    element=$(ask BLMOVE "$queue" "$processing" RIGHT LEFT 1)
    [ -n "$element" ] || continue
    handle <<<"$element"
    ask LREM "$processing" 1 "$element" >/dev/null
done
