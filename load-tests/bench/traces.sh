#!/usr/bin/env bash
# What spans cost, side by side: the gateway without them, with a collector and no trace recorded, with every trace recorded; refusing
# every job and storing every job. BEFORE names another build of the gateway, measured first in each round. The collector takes what
# it is sent and looks at nothing. "cpu us" is the gateway's own CPU time per request; "dropped" are spans that found no room.
#   ROUNDS=3 SECONDS_EACH=3 BEFORE=/path/to/tidegate load-tests/bench/traces.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=load-tests/gateway.sh
source load-tests/gateway.sh

rounds=${ROUNDS:-3}
seconds=${SECONDS_EACH:-3}
results=$scratch/results

cargo build --release --locked --bin tidegate

python3 - "$scratch/collector" >/dev/null 2>&1 <<'PYTHON' &
import http.server, sys
class Collector(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
open(sys.argv[1], "w").write(f"http://127.0.0.1:{server.server_port}")
server.serve_forever()
PYTHON
collector_pid=$!
trap 'stop_server; kill "$collector_pid" 2>/dev/null || true; rm -rf "$scratch"' EXIT
until [ -s "$scratch/collector" ]; do sleep 0.1; done
collector=$(cat "$scratch/collector")

cpu_ticks() { awk '{ print $14 + $15 }' "/proc/$server_pid/stat"; }

# measure NAME POLICY PROGRAM SAMPLER SETTING..
measure() {
    local name=$1 policy=$2 program=$3 sampler=$4 post before line dropped
    shift 4
    ingest=127.0.0.1:$(free_port)
    admin=127.0.0.1:$(free_port)
    rm -rf "$scratch/data"
    mkdir "$scratch/data"
    start_server "$ingest" env "OTEL_TRACES_SAMPLER=$sampler" "$program" serve --set "ingest.listen=$ingest" \
        --set "admin.listen=$admin" --set "policy=load-tests/bench/$policy.yaml" --set "embedded.path=$scratch/data/queue.db" "$@"
    post=(wrk -t2 -c64 -s load-tests/bench/post.lua "http://$ingest/v1/jobs")
    "${post[@]}" -d1s >/dev/null
    before=$(cpu_ticks)
    line=$("${post[@]}" -d"${seconds}s" --latency | sed -n "s/^measured/$policy $name/p")
    dropped=$(curl -s "http://$admin/metrics" | awk '/^tidegate_spans_dropped_total/ { dropped += $2 } END { print dropped + 0 }')
    echo "$line $(($(cpu_ticks) - before)) $(getconf CLK_TCK) $dropped" |
        awk '{ printf "%-7s %-10s %10d %9.1f %9d\n", $1, $2, $3, $9 / $10 / $6 * 1e6, $11 }' | tee -a "$results"
    stop_server
}

printf '%-7s %-10s %10s %9s %9s\n' jobs spans requests/s cpu_us dropped
for _ in $(seq "$rounds"); do
    for policy in refuse accept; do
        [ -z "${BEFORE:-}" ] || measure before $policy "$BEFORE" always_on
        measure off $policy target/release/tidegate always_on
        measure unrecorded $policy target/release/tidegate always_off --set "telemetry.otlp_endpoint=$collector"
        measure recorded $policy target/release/tidegate always_on --set "telemetry.otlp_endpoint=$collector"
    done
done

echo
awk '
    function median(of, column,    n, i, j, t, v) {
        n = 0
        for (i = 1; i <= NR; i++) if (name[i] == of) v[++n] = cell[i, column]
        for (i = 1; i < n; i++) for (j = i + 1; j <= n; j++) if (v[j] < v[i]) { t = v[i]; v[i] = v[j]; v[j] = t }
        return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
    }
    { name[NR] = $1 " " $2; seen[name[NR]] = 1; cell[NR, 3] = $3; cell[NR, 4] = $4 }
    END {
        for (p = 1; p <= split("refuse accept", policies, " "); p++)
            for (s = 1; s <= split("before off unrecorded recorded", spans, " "); s++) {
                of = policies[p] " " spans[s]
                if (!(of in seen)) continue
                off = policies[p] " off"
                printf "%-18s %10.0f requests/s %6.1f us of cpu   %.2fx of off\n", of, median(of, 3),
                    median(of, 4), median(of, 4) / median(off, 4)
            }
    }' "$results"
