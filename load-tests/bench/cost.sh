#!/usr/bin/env bash
# What a job costs on each backend, side by side: CPU time of the gateway and of the backend's own process, and the room that it takes
# there, for single jobs of 256 bytes and for batches of 500. One round measures all of them in turn. CPU time moves less than
# throughput when something else is busy on the machine.
#   ROUNDS=3 SECONDS_EACH=3 load-tests/bench/cost.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=load-tests/gateway.sh
source load-tests/gateway.sh
# shellcheck source=load-tests/redis.sh
source load-tests/redis.sh
# shellcheck source=load-tests/kafka.sh
source load-tests/kafka.sh
trap 'stop_server; stop_redis; stop_kafka; rm -rf "$scratch"' EXIT

rounds=${ROUNDS:-3}
seconds=${SECONDS_EACH:-3}
binaries=${BINARIES:-target/release}
results=$scratch/results
policy=load-tests/bench/accept.yaml

[ "$binaries" != target/release ] || cargo build --release --locked --bin tidegate

# CPU time of a process so far, in clock ticks; of none, nothing.
ticks() { [ -n "$1" ] && awk '{ print $14 + $15 }' "/proc/$1/stat" || echo 0; }

# Bytes that the backend holds.
held() {
    case "$1" in
        embedded) du -sb "$scratch/data" | cut -f1 ;;
        redis) ask_redis INFO memory | awk -F: '/^used_memory:/ { print $2 + 0 }' ;;
        kafka) du -sb --apparent-size "$scratch"/kafka/data/jobs.standard-*/*.log | awk '{ bytes += $1 } END { print bytes }' ;;
    esac
}

# gateway BACKEND: before an empty queue, or behind what is there.
gateway() {
    ingest=127.0.0.1:$(free_port)
    rm -rf "$scratch/data"
    mkdir "$scratch/data"
    local own=()
    case "$1" in
        redis) ask_redis FLUSHALL >/dev/null; own=(--set "redis.url=redis://127.0.0.1:$redis_port") ;;
        kafka) own=(--set "kafka.brokers=127.0.0.1:$kafka_port") ;;
    esac
    start_server "$ingest" "$binaries/tidegate" serve --set "ingest.listen=$ingest" --set "admin.listen=127.0.0.1:$(free_port)" \
        --set "policy=$policy" --set "backend=$1" --set "embedded.path=$scratch/data/queue.db" \
        --set "idempotency.path=$scratch/data/keys.db" --set "spool.path=$scratch/data/spool.db" "${own[@]}"
}

# drive BACKEND KIND SCRIPT CONNECTIONS PATH BACKEND-PID: one line.
drive() {
    local backend=$1 kind=$2 pid=$6 jobs refused gateway_before backend_before held_before
    local post=(wrk -t1 -c"$4" -s "load-tests/bench/$3" "http://$ingest$5")
    gateway "$backend"
    post[-1]="http://$ingest$5"
    "${post[@]}" -d1s >/dev/null
    gateway_before=$(ticks "$server_pid") backend_before=$(ticks "$pid") held_before=$(held "$backend")
    case "$3" in
        post.lua) read -r jobs refused < <("${post[@]}" -d"${seconds}s" --latency | awk '/^measured/ { print $5, $6 }') ;;
        batch.lua) read -r jobs refused < <("${post[@]}" -d"${seconds}s" | awk '/^measured/ { print $3, $4 }') ;;
    esac
    echo "$backend $kind $jobs $refused $(($(ticks "$server_pid") - gateway_before)) $(($(ticks "$pid") - backend_before))" \
        "$(($(held "$backend") - held_before)) $(getconf CLK_TCK)" |
        awk '{ printf "%-9s %-7s %10d %8d %12.1f %12.1f %10.0f\n", $1, $2, $3, $4, $5 / $8 / $3 * 1e6, $6 / $8 / $3 * 1e6, $7 / $3 }' |
        tee -a "$results"
    stop_server
}

start_redis
start_kafka
"$binaries/tidegate" kafka init --set "policy=$policy" --set "kafka.brokers=127.0.0.1:$kafka_port" --partitions 3 >"$scratch/init.log" ||
    { cat "$scratch/init.log" >&2; exit 1; }
# The JVM compiles what is hot only after a while.
kafka_java=$(pgrep -P "$kafka_pid" java || echo "$kafka_pid")
for _ in 1 2; do
    gateway kafka
    wrk -t1 -c64 -d"${seconds}s" -s load-tests/bench/post.lua "http://$ingest/v1/jobs" >/dev/null
    stop_server
done
printf '%-9s %-7s %10s %8s %12s %12s %10s\n' backend kind jobs refused gateway_us backend_us bytes
for _ in $(seq "$rounds"); do
    for backend in embedded redis kafka; do
        case "$backend" in
            embedded) pid= ;;
            redis) pid=$redis_pid ;;
            kafka) pid=$kafka_java ;;
        esac
        drive "$backend" single post.lua 64 /v1/jobs "$pid"
        drive "$backend" batch batch.lua 8 /v1/jobs/batch "$pid"
    done
done

awk -v rounds="$rounds" '
    function median(key, column,    n, i, j, t, v) {
        n = 0
        for (i = 1; i <= lines; i++) if (name[i] == key) v[++n] = cell[i, column]
        for (i = 1; i < n; i++) for (j = i + 1; j <= n; j++) if (v[j] < v[i]) { t = v[i]; v[i] = v[j]; v[j] = t }
        return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
    }
    { name[++lines] = $1 " " $2; for (i = 3; i <= NF; i++) cell[lines, i] = $i; refused += $4 }
    !(($1 " " $2) in seen) { seen[$1 " " $2]; order[++kinds] = $1 " " $2 }
    END {
        printf "\nmedians of %d rounds, one job\n%-18s %16s %16s %16s\n", rounds, "", "gateway, CPU us", "backend, CPU us", "bytes kept"
        for (k = 1; k <= kinds; k++)
            printf "%-18s %16.1f %16.1f %16.0f\n", order[k], median(order[k], 5), median(order[k], 6), median(order[k], 7)
        if (refused) { printf "\nnot a valid run: %d refused\n", refused; exit 1 }
    }' "$results"
