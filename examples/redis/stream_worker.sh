#!/usr/bin/env bash
# A worker of a stream, for text payloads: REDIS_URL=redis://127.0.0.1:6379 WORKER=w-1 stream_worker.sh jobs:standard
set -euo pipefail
queue=$1 group=workers me=${WORKER:-w-1} from=0
ask() { redis-cli -u "${REDIS_URL:-redis://127.0.0.1:6379}" --raw "$@"; }

handle() { echo "$1 $(cat)"; } # $1 is the job's id, its payload comes on standard input

while true; do
    # From 0: what this worker took before and did not finish; when there is none, what is new.
    mapfile -t lines < <(ask XREADGROUP GROUP "$group" "$me" COUNT 1 BLOCK 1000 STREAMS "$queue" "$from")
    [ "${#lines[@]}" -gt 3 ] || { from='>'; continue; } # else: queue, entry, field, value, ..; `body` is the last field
    entry=${lines[1]} at=2
    until [ "${lines[at]}" = body ]; do [ "${lines[at]}" != id ] || id=${lines[at + 1]}; at=$((at + 2)); done
    printf '%s\n' "${lines[@]:at + 1}" | handle "$id"
    ask XACK "$queue" "$group" "$entry" >/dev/null
done
