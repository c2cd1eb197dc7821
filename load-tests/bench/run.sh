#!/usr/bin/env bash
# Requests/s side by side: a bare axum server, the gateway storing every job on disk, the gateway refusing every job.
# One round measures all three in turn, so that a machine that slows down slows all of them. wrk shares the machine
# with the server under test, for all three alike.
#   ROUNDS=5 SECONDS_EACH=5 load-tests/bench/run.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=load-tests/gateway.sh
source load-tests/gateway.sh

rounds=${ROUNDS:-5}
seconds=${SECONDS_EACH:-5}
connections=64
results=$scratch/results

cargo build --release --locked --bin tidegate --example bare_axum

# drive NAME ADDRESS: one measured line for NAME, after a second of warming up.
drive() {
    local post=(wrk -t2 -c"$connections" -s load-tests/bench/post.lua "http://$2/v1/jobs")
    "${post[@]}" -d1s >/dev/null
    "${post[@]}" -d"${seconds}s" --latency | sed -n "s/^measured/$1/p" | tee -a "$results"
}

printf '%-8s %10s %8s %8s %10s %10s %8s\n' what requests/s p50_ms p99_ms requests refused broken
for _ in $(seq "$rounds"); do
    address=127.0.0.1:$(free_port)
    start_server "$address" target/release/examples/bare_axum "$address"
    drive bare "$address"
    stop_server
    start_gateway load-tests/bench/accept.yaml
    drive accept "$ingest"
    stop_server
    start_gateway load-tests/bench/refuse.yaml
    drive refuse "$ingest"
    stop_server
done

awk -v rounds="$rounds" -v seconds="$seconds" -v connections="$connections" '
    function median(of, column,    n, i, j, t, v) {
        n = 0
        for (i = 1; i <= lines; i++) if (name[i] == of) v[++n] = cell[i, column]
        for (i = 1; i < n; i++) for (j = i + 1; j <= n; j++) if (v[j] < v[i]) { t = v[i]; v[i] = v[j]; v[j] = t }
        return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
    }
    function report(of, goal,    rate) {
        rate = median(of, 2)
        printf "%-26s %10.0f %9.2f %9.2f", title[of], rate, median(of, 3), median(of, 4)
        printf (goal ? "   %.2fx (goal %.1fx: %s)\n" : "\n"), rate / bare, goal, rate / bare >= goal ? "met" : "MISSED"
    }
    { name[++lines] = $1; for (i = 2; i <= NF; i++) cell[lines, i] = $i; broken += $7 }
    $1 == "accept" && $6 > 0 { wrong = wrong "\n  the accepting gateway refused " $6 " jobs" }
    $1 == "refuse" && $5 != $6 { wrong = wrong "\n  the refusing gateway accepted " $5 - $6 " jobs" }
    END {
        title["bare"] = "bare axum, 202"; title["accept"] = "tidegate, stored on disk"; title["refuse"] = "tidegate, refused"
        bare = median("bare", 2)
        printf "\nmedians of %d rounds, %d s each, %d connections, 256-byte payload\n", rounds, seconds, connections
        printf "%-26s %10s %9s %9s   %s\n", "", "requests/s", "p50 ms", "p99 ms", "of bare axum"
        report("bare", 0); report("accept", 0.5); report("refuse", 0.9)
        if (broken) wrong = wrong "\n  " broken " broken connections"
        if (wrong) { print "\nnot a valid run:" wrong; exit 1 }
    }' "$results"
