#!/usr/bin/env bash
# Requests/s side by side: a bare axum server, the same answering with the bytes of a refusal, the gateway storing every
# job on disk, the gateway refusing every job. One round measures all of them in turn, so that a machine that slows
# down slows them all. wrk shares the machine with the server under test, and reading a longer answer costs it more:
# the second row is what a refusal could reach if it took no thought. "cpu us" is the server's own CPU time per
# request: it moves less than the rest when something else is busy on the machine. Every number of CONNECTIONS is
# measured: with few of them a stored job waits for the disk, with many group commit shares one sync among more jobs.
#   ROUNDS=5 SECONDS_EACH=3 CONNECTIONS="64 256" load-tests/bench/run.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=load-tests/gateway.sh
source load-tests/gateway.sh

rounds=${ROUNDS:-5}
seconds=${SECONDS_EACH:-3}
sizes=${CONNECTIONS:-64 256}
results=$scratch/results

cargo build --release --locked --bin tidegate --example bare_axum

# CPU time that the server has used so far, in clock ticks.
cpu_ticks() { awk '{ print $14 + $15 }' "/proc/$server_pid/stat"; }

# drive NAME URL: for each number of connections one measured line for NAME, after a second of warming up.
drive() {
    local connections post line before
    for connections in $sizes; do
        post=(wrk -t2 -c"$connections" -s load-tests/bench/post.lua "$2")
        "${post[@]}" -d1s >/dev/null
        before=$(cpu_ticks)
        line=$("${post[@]}" -d"${seconds}s" --latency | sed -n "s/^measured/$1 $connections/p")
        echo "$line $(($(cpu_ticks) - before)) $(getconf CLK_TCK)" |
            awk '{ printf "%-9s %11d %10d %8s %8s %10d %10d %8d %10.1f\n",
                $1, $2, $3, $4, $5, $6, $7, $8, $9 / $10 / $6 * 1e6 }' |
            tee -a "$results"
    done
}

# Milliseconds that one synced write of a page takes here, in the mean of 200.
sync_ms() {
    local before=$EPOCHREALTIME
    dd if=/dev/zero of="$scratch/sync" bs=8k count=200 oflag=dsync conv=notrunc status=none
    awk -v before="$before" -v after="$EPOCHREALTIME" 'BEGIN { printf "%.2f", (after - before) * 1000 / 200 }'
}

echo "a synced write of 8 KiB to $scratch takes $(sync_ms) ms"
printf '%-9s %11s %10s %8s %8s %10s %10s %8s %10s\n' \
    what connections requests/s p50_ms p99_ms requests refused broken cpu_us
for _ in $(seq "$rounds"); do
    address=127.0.0.1:$(free_port)
    start_server "$address" target/release/examples/bare_axum "$address"
    drive bare "http://$address/v1/jobs"
    drive constant "http://$address/v1/refusals"
    stop_server
    start_gateway load-tests/bench/accept.yaml
    drive accept "http://$ingest/v1/jobs"
    stop_server
    start_gateway load-tests/bench/refuse.yaml
    drive refuse "http://$ingest/v1/jobs"
    stop_server
done

awk -v rounds="$rounds" -v seconds="$seconds" -v sizes="$sizes" '
    function median(of, at, column,    n, i, j, t, v) {
        n = 0
        for (i = 1; i <= lines; i++) if (name[i] == of && cell[i, 2] == at) v[++n] = cell[i, column]
        for (i = 1; i < n; i++) for (j = i + 1; j <= n; j++) if (v[j] < v[i]) { t = v[i]; v[i] = v[j]; v[j] = t }
        return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
    }
    function report(of, at, goal,    rate, bare, verdict) {
        rate = median(of, at, 3)
        bare = median("bare", at, 3)
        verdict = sprintf("%.2fx", rate / bare)
        if (goal) verdict = verdict sprintf(" (goal %.1fx: %s)", goal, (rate / bare < goal) ? "MISSED" : "met")
        printf "%-26s %11d %10.0f %9.2f %9.2f %9.1f   %s\n", title[of], at, rate,
            median(of, at, 4), median(of, at, 5), median(of, at, 9), verdict
    }
    { name[++lines] = $1; for (i = 2; i <= NF; i++) cell[lines, i] = $i; broken += $8 }
    $1 == "accept" && $7 > 0 { wrong = wrong "\n  the accepting gateway refused " $7 " jobs" }
    $1 == "refuse" && $6 != $7 { wrong = wrong "\n  the refusing gateway accepted " $6 - $7 " jobs" }
    END {
        title["bare"] = "bare axum, 202"; title["constant"] = "bare axum, constant 429"
        title["accept"] = "tidegate, stored on disk"; title["refuse"] = "tidegate, refused"
        printf "\nmedians of %d rounds, %d s each, 256-byte payload\n", rounds, seconds
        printf "%-26s %11s %10s %9s %9s %9s   %s\n", "", "connections", "requests/s", "p50 ms", "p99 ms", "cpu us", "of bare axum"
        count = split(sizes, size, " ")
        for (s = 1; s <= count; s++) {
            report("bare", size[s], 0); report("constant", size[s], 0)
            report("accept", size[s], 0.5); report("refuse", size[s], 0.9)
        }
        if (broken) wrong = wrong "\n  " broken " broken connections"
        if (wrong) { print "\nnot a valid run:" wrong; exit 1 }
    }' "$results"
