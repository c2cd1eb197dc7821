#!/usr/bin/env bash
# Jobs/s side by side with Redis on the same cores: a bare axum server that answers 202 against the gateway that has
# every job in a stream before its 202, single jobs; and `redis-benchmark -P 128` that writes the same entries itself against
# batches through the gateway. One round measures all four in turn, so that a machine that slows down slows them all. Redis
# keeps nothing on disk: what is measured is the way there. wrk and redis-benchmark share the machine with what they ask.
#   ROUNDS=5 SECONDS_EACH=3 load-tests/bench/redis.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=load-tests/gateway.sh
source load-tests/gateway.sh
# shellcheck source=load-tests/redis.sh
source load-tests/redis.sh

rounds=${ROUNDS:-5}
seconds=${SECONDS_EACH:-3}
binaries=${BINARIES:-target/release}
results=$scratch/results

[ "$binaries" != target/release ] || cargo build --release --locked --bin tidegate --example bare_axum

# The entry that the gateway writes for the payload of post.lua and batch.lua, field by field.
payload='{"type":"measure","payload":"'$(printf 'x%.0s' $(seq 225))'"}'
entry=(id 01a1ff61-53ff-7c5e-bcbd-63e2e8194736 tier p1 type measure tenant anonymous
    accepted_at 2026-11-21T21:00:00.000Z content_type application/json attempt 1 body "$payload")

# note NAME JOBS/S JOBS REFUSED BROKEN
note() { printf '%-10s %12.0f %12d %8d %8d\n' "$@" | tee -a "$results"; }

# drive NAME SCRIPT CONNECTIONS URL: after a second of warming up, one line for NAME.
drive() {
    local post=(wrk -t2 -c"$3" -s "load-tests/bench/$2" "$4") rate jobs refused broken
    "${post[@]}" -d1s >/dev/null
    case "$2" in
        post.lua) read -r rate jobs refused broken < <("${post[@]}" -d"${seconds}s" --latency |
            awk '/^measured/ { print $2, $5, $6, $7 }') ;;
        batch.lua) read -r rate jobs refused broken < <("${post[@]}" -d"${seconds}s" |
            awk '/^measured/ { print $2, $3, $4, $5 }') ;;
    esac
    note "$1" "$rate" "$jobs" "$refused" "$broken"
    stored=$jobs
}

# Whatever was answered 202 is in the stream.
check_stored() {
    local length
    length=$(ask_redis XLEN jobs:standard)
    [ "$length" -ge "$stored" ] || { echo "only $length of $stored jobs are in the stream" >&2; exit 1; }
}

gateway() {
    ask_redis FLUSHALL >/dev/null
    ingest=127.0.0.1:$(free_port)
    start_server "$ingest" "$binaries/tidegate" serve --set "ingest.listen=$ingest" \
        --set "admin.listen=127.0.0.1:$(free_port)" --set policy=load-tests/bench/accept.yaml \
        --set backend=redis --set "redis.url=redis://127.0.0.1:$redis_port" --set "spool.path=$scratch/spool.db"
}

start_redis
printf '%-10s %12s %12s %8s %8s\n' what jobs/s jobs refused broken
for _ in $(seq "$rounds"); do
    address=127.0.0.1:$(free_port)
    start_server "$address" "$binaries/examples/bare_axum" "$address"
    drive bare post.lua 64 "http://$address/v1/jobs"
    stop_server
    gateway
    drive single post.lua 64 "http://$ingest/v1/jobs"
    check_stored
    stop_server
    ask_redis FLUSHALL >/dev/null
    rate=$(redis-benchmark -h 127.0.0.1 -p "$redis_port" -P 128 -n $((100000 * seconds)) -q XADD jobs:standard '*' "${entry[@]}" |
        tr '\r' '\n' | sed -n 's/.* \([0-9.]*\) requests per second.*/\1/p' | tail -1)
    note direct "$rate" $((100000 * seconds)) 0 0
    gateway
    drive batch batch.lua 16 "http://$ingest/v1/jobs/batch"
    check_stored
    stop_server
done

awk -v rounds="$rounds" -v seconds="$seconds" '
    function median(of,    n, i, j, t, v) {
        n = 0
        for (i = 1; i <= lines; i++) if (name[i] == of) v[++n] = rate[i]
        for (i = 1; i < n; i++) for (j = i + 1; j <= n; j++) if (v[j] < v[i]) { t = v[i]; v[i] = v[j]; v[j] = t }
        return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
    }
    function report(title, of, yardstick, goal,    ratio) {
        ratio = median(of) / median(yardstick)
        printf "%-46s %10.0f   %.2fx (goal %.1fx: %s)\n", title, median(of), ratio, goal, (ratio < goal) ? "MISSED" : "met"
    }
    { name[++lines] = $1; rate[lines] = $2; refused += $4; broken += $5 }
    END {
        printf "\nmedians of %d rounds, %d s each, 256-byte payload, jobs/s\n", rounds, seconds
        printf "%-46s %10.0f\n", "bare axum, 202, 64 connections", median("bare")
        report("tidegate before Redis, single jobs, 64", "single", "bare", 0.5)
        printf "%-46s %10.0f\n", "redis-benchmark -P 128 XADD, the same entries", median("direct")
        report("tidegate before Redis, ndjson batches of 500", "batch", "direct", 0.6)
        if (refused + broken) { printf "\nnot a valid run: %d refused, %d broken\n", refused, broken; exit 1 }
    }' "$results"
