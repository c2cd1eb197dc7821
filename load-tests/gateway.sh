# To be sourced: starts and stops one server on free loopback ports, its data in a folder that goes away.
# After `start_gateway`: $server_pid, $ingest and $admin (host:port), $scratch.

scratch=$(mktemp -d "${TMPDIR:-/tmp}/tidegate-load.XXXXXX")
server_pid=
trap 'stop_server; rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

# A port that nobody listens on.
free_port() {
    local port
    while port=$((20000 + RANDOM % 10000)); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

# start_server HOST:PORT COMMAND..: runs the command until /readyz at that address says yes.
start_server() {
    local address=$1
    shift
    "$@" >"$scratch/server.log" 2>&1 &
    server_pid=$!
    for _ in $(seq 100); do
        curl -sf -o /dev/null "http://$address/readyz" && return
        kill -0 "$server_pid" 2>/dev/null || break
        sleep 0.1
    done
    echo "did not become ready: $*" >&2
    cat "$scratch/server.log" >&2
    return 1
}

# start_gateway POLICY: the release gateway with this policy and an empty queue.
start_gateway() {
    ingest=127.0.0.1:$(free_port)
    admin=127.0.0.1:$(free_port)
    rm -rf "$scratch/data"
    mkdir "$scratch/data"
    start_server "$ingest" target/release/tidegate serve --set "ingest.listen=$ingest" --set "admin.listen=$admin" \
        --set "policy=$1" --set "embedded.path=$scratch/data/queue.db"
}

# Asks the server to stop, and waits until it has.
stop_server() {
    [ -n "$server_pid" ] || return 0
    kill "$server_pid" 2>/dev/null || true
    wait "$server_pid" 2>/dev/null || true
    server_pid=
}
