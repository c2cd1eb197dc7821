#!/usr/bin/env bash
# Requests/s side by side: a bare axum server, the gateway storing every job on disk, the gateway refusing every job.
# One round measures all three in turn, so that a machine that slows down slows all of them. wrk shares the machine
# with the server under test, for all three alike. "cpu us" is the server's own CPU time per request: it hardly moves
# when something else is busy on the machine.
#   ROUNDS=5 SECONDS_EACH=5 CONNECTIONS=64 load-tests/bench/run.sh
# A connection has one job under way, and a job waits for the disk: with few connections the disk's latency decides
# what can be stored, so it is printed too.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=load-tests/gateway.sh
source load-tests/gateway.sh

rounds=${ROUNDS:-5}
seconds=${SECONDS_EACH:-5}
connections=${CONNECTIONS:-64}
results=$scratch/results

cargo build --release --locked --bin tidegate --example bare_axum

# CPU time that the server has used so far, in clock ticks.
cpu_ticks() { awk '{ print $14 + $15 }' "/proc/$server_pid/stat"; }

# drive NAME ADDRESS: one measured line for NAME, after a second of warming up.
drive() {
    local post=(wrk -t2 -c"$connections" -s load-tests/bench/post.lua "http://$2/v1/jobs") line before
    "${post[@]}" -d1s >/dev/null
    before=$(cpu_ticks)
    line=$("${post[@]}" -d"${seconds}s" --latency | sed -n "s/^measured/$1/p")
    echo "$line $(($(cpu_ticks) - before)) $(getconf CLK_TCK)" |
        awk '{ printf "%-8s %10d %8s %8s %10d %10d %8d %10.1f\n", $1, $2, $3, $4, $5, $6, $7, $8 / $9 / $5 * 1e6 }' |
        tee -a "$results"
}

# Milliseconds that one synced write of a page takes here, in the mean of 200.
sync_ms() {
    local before=$EPOCHREALTIME
    dd if=/dev/zero of="$scratch/sync" bs=8k count=200 oflag=dsync conv=notrunc status=none
    awk -v before="$before" -v after="$EPOCHREALTIME" 'BEGIN { printf "%.2f", (after - before) * 1000 / 200 }'
}

echo "a synced write of 8 KiB to $scratch takes $(sync_ms) ms"
printf '%-8s %10s %8s %8s %10s %10s %8s %10s\n' what requests/s p50_ms p99_ms requests refused broken cpu_us
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
    function report(of, goal,    rate, verdict) {
        rate = median(of, 2)
        if (goal) verdict = sprintf("%.2fx (goal %.1fx: %s)", rate / bare, goal, (rate / bare < goal) ? "MISSED" : "met")
        printf "%-26s %10.0f %9.2f %9.2f %9.1f   %s\n", title[of], rate, median(of, 3), median(of, 4), median(of, 8), verdict
    }
    { name[++lines] = $1; for (i = 2; i <= NF; i++) cell[lines, i] = $i; broken += $7 }
    $1 == "accept" && $6 > 0 { wrong = wrong "\n  the accepting gateway refused " $6 " jobs" }
    $1 == "refuse" && $5 != $6 { wrong = wrong "\n  the refusing gateway accepted " $5 - $6 " jobs" }
    END {
        title["bare"] = "bare axum, 202"; title["accept"] = "tidegate, stored on disk"; title["refuse"] = "tidegate, refused"
        bare = median("bare", 2)
        printf "\nmedians of %d rounds, %d s each, %d connections, 256-byte payload\n", rounds, seconds, connections
        printf "%-26s %10s %9s %9s %9s   %s\n", "", "requests/s", "p50 ms", "p99 ms", "cpu us", "of bare axum"
        report("bare", 0); report("accept", 0.5); report("refuse", 0.9)
        if (broken) wrong = wrong "\n  " broken " broken connections"
        if (wrong) { print "\nnot a valid run:" wrong; exit 1 }
    }' "$results"
