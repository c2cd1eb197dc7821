# To be sourced after gateway.sh: starts and stops one Redis that keeps nothing on disk, on a free loopback port.
# After `start_redis`: $redis_port.

redis_pid=
trap 'stop_server; stop_redis; rm -rf "$scratch"' EXIT

start_redis() {
    redis_port=$(free_port)
    mkdir -p "$scratch/redis"
    redis-server --port "$redis_port" --bind 127.0.0.1 --dir "$scratch/redis" --save "" --appendonly no \
        >"$scratch/redis.log" 2>&1 &
    redis_pid=$!
    for _ in $(seq 100); do
        [ "$(ask_redis PING 2>/dev/null)" = PONG ] && return
        kill -0 "$redis_pid" 2>/dev/null || break
        sleep 0.1
    done
    echo "redis-server did not start" >&2
    cat "$scratch/redis.log" >&2
    return 1
}

ask_redis() { redis-cli -h 127.0.0.1 -p "$redis_port" "$@"; }

stop_redis() {
    [ -n "$redis_pid" ] || return 0
    kill "$redis_pid" 2>/dev/null || true
    wait "$redis_pid" 2>/dev/null || true
    redis_pid=
}
