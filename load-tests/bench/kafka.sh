#!/usr/bin/env bash
# Jobs/s into Kafka side by side: a bare axum server that answers 202 and does nothing, against the gateway whose every job the
# broker has confirmed before its 202, single jobs; and a bare FutureProducer with the same settings that sends the same records itself,
# against batches through the gateway. One round measures all four in turn, so that a machine that slows down slows them all.
# wrk, the producer and the broker share the machine with what they ask.
#   ROUNDS=5 SECONDS_EACH=3 load-tests/bench/kafka.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=load-tests/gateway.sh
source load-tests/gateway.sh
# shellcheck source=load-tests/kafka.sh
source load-tests/kafka.sh

rounds=${ROUNDS:-5}
seconds=${SECONDS_EACH:-3}
binaries=${BINARIES:-target/release}
results=$scratch/results

[ "$binaries" != target/release ] || cargo build --release --locked --bin tidegate --example bare_axum --example raw_producer

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

# Whatever was answered 202 is in the topic.
check_stored() {
    local records
    records=$(records_of jobs.standard)
    [ $((records - before)) -ge "$stored" ] || { echo "only $((records - before)) of $stored jobs are in the topic" >&2; exit 1; }
}

gateway() {
    before=$(records_of jobs.standard)
    ingest=127.0.0.1:$(free_port)
    start_server "$ingest" "$binaries/tidegate" serve --set "ingest.listen=$ingest" \
        --set "admin.listen=127.0.0.1:$(free_port)" --set policy=load-tests/bench/accept.yaml "${kafka[@]}"
}

start_kafka
kafka=(--set backend=kafka --set "kafka.brokers=127.0.0.1:$kafka_port" --set "spool.path=$scratch/spool.db"
    --set "idempotency.path=$scratch/keys.db")
"$binaries/tidegate" kafka init --set policy=load-tests/bench/accept.yaml "${kafka[@]}" --partitions 3 >"$scratch/init.log" ||
    { cat "$scratch/init.log" >&2; exit 1; }
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
    raw=("$binaries/examples/raw_producer" "127.0.0.1:$kafka_port" jobs.standard)
    "${raw[@]}" 1 >/dev/null
    read -r _ rate jobs refused broken < <("${raw[@]}" "$seconds")
    note direct "$rate" "$jobs" "$refused" "$broken"
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
        report("tidegate before Kafka, single jobs, 64", "single", "bare", 0.5)
        printf "%-46s %10.0f\n", "FutureProducer, the same records, 16 x 500", median("direct")
        report("tidegate before Kafka, ndjson batches of 500", "batch", "direct", 0.8)
        if (refused + broken) { printf "\nnot a valid run: %d refused, %d broken\n", refused, broken; exit 1 }
    }' "$results"
