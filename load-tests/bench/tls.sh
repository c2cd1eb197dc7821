#!/usr/bin/env bash
# What TLS and HTTP/2 cost, side by side: the gateway that refuses every job (so that nothing but the way in is measured), asked
# by the same client over HTTP/1.1 in clear, HTTP/1.1 over TLS 1.3, and HTTP/2, always with 64 requests at once. One round
# measures all of them in turn. "cpu us" is the gateway's own CPU time per request.
#   ROUNDS=3 SECONDS_EACH=3 load-tests/bench/tls.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=load-tests/gateway.sh
source load-tests/gateway.sh

rounds=${ROUNDS:-3}
seconds=${SECONDS_EACH:-3}
results=$scratch/results
payload=$scratch/payload

cargo build --release --locked --bin tidegate
printf '{"type":"measure","payload":"%0225d"}' 0 >"$payload"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost -addext "subjectAltName=DNS:localhost" \
    -keyout "$scratch/tls.key" -out "$scratch/tls.pem" 2>/dev/null
chmod 600 "$scratch/tls.key"

cpu_ticks() { awk '{ print $14 + $15 }' "/proc/$server_pid/stat"; }

# gateway SETTING..: asked for /readyz on the admin listener, which speaks plain HTTP.
gateway() {
    local set=()
    for setting in "$@"; do set+=(--set "$setting"); done
    ingest=127.0.0.1:$(free_port)
    admin=127.0.0.1:$(free_port)
    rm -rf "$scratch/data"
    mkdir "$scratch/data"
    start_server "$admin" target/release/tidegate serve --set "ingest.listen=$ingest" --set "admin.listen=$admin" \
        --set "policy=load-tests/bench/refuse.yaml" --set "embedded.path=$scratch/data/queue.db" "${set[@]}"
}

# drive NAME URL H2LOAD-OPTION..
drive() {
    local name=$1 url=$2 before rate asked
    shift 2
    local ask=(h2load -t1 -d "$payload" -H "tidegate-type: measure" -H "content-type: application/json" "$@")
    "${ask[@]}" -n 2000 "$url" >/dev/null
    before=$(cpu_ticks)
    "${ask[@]}" -D "$seconds" "$url" >"$scratch/said"
    rate=$(awk '/^finished in/ { print $4 }' "$scratch/said")
    asked=$(awk '/^requests:/ { print $6 }' "$scratch/said")
    grep -q ' 0 errored, 0 timeout' "$scratch/said" || { cat "$scratch/said" >&2; return 1; }
    awk -v name="$name" -v rate="$rate" -v asked="$asked" -v ticks=$(($(cpu_ticks) - before)) -v hz="$(getconf CLK_TCK)" \
        'BEGIN { printf "%-10s %10.0f %8.1f\n", name, rate, ticks / hz / asked * 1e6 }' | tee -a "$results"
}

printf '%-10s %10s %8s\n' what requests/s cpu_us
for _ in $(seq "$rounds"); do
    gateway
    drive clear "http://$ingest/v1/jobs" --h1 -c64
    stop_server
    gateway "ingest.tls.certificate=$scratch/tls.pem" "ingest.tls.key=$scratch/tls.key"
    drive tls "https://$ingest/v1/jobs" --h1 -c64
    drive http2 "https://$ingest/v1/jobs" -c64 -m1
    drive http2-8x8 "https://$ingest/v1/jobs" -c8 -m8
    stop_server
done

echo
awk '
    function median(of, column,    n, i, j, t, v) {
        n = 0
        for (i = 1; i <= NR; i++) if (name[i] == of) v[++n] = cell[i, column]
        for (i = 1; i < n; i++) for (j = i + 1; j <= n; j++) if (v[j] < v[i]) { t = v[i]; v[i] = v[j]; v[j] = t }
        return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
    }
    { name[NR] = $1; cell[NR, 2] = $2; cell[NR, 3] = $3 }
    END {
        split("clear tls http2 http2-8x8", order, " ")
        for (at = 1; at <= 4; at++)
            printf "%-10s %10.0f requests/s %6.1f us of cpu   %.2fx of clear\n", order[at], median(order[at], 2),
                median(order[at], 3), median(order[at], 2) / median("clear", 2)
    }' "$results"
