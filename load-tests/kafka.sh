# To be sourced after gateway.sh: starts and stops one Kafka broker on free loopback ports, its data in a folder that goes away.
# After `start_kafka`: $kafka_port.

kafka_pid=
trap 'stop_server; stop_kafka; rm -rf "$scratch"' EXIT

start_kafka() {
    kafka_port=$(free_port)
    KAFKA_JIT=full scripts/kafka run "$scratch/kafka" "$kafka_port" "$(free_port)" >"$scratch/kafka.log" 2>&1 &
    kafka_pid=$!
    for _ in $(seq 600); do
        grep -q 'Kafka Server started' "$scratch/kafka.log" && return
        kill -0 "$kafka_pid" 2>/dev/null || break
        sleep 0.1
    done
    echo "Kafka did not start" >&2
    tail -20 "$scratch/kafka.log" >&2
    return 1
}

# Records that a topic has, all partitions together.
records_of() {
    scripts/kafka tool org.apache.kafka.tools.GetOffsetShell --bootstrap-server "127.0.0.1:$kafka_port" --topic "$1" |
        awk -F: '{ records += $3 } END { print records + 0 }'
}

stop_kafka() {
    [ -n "$kafka_pid" ] || return 0
    kill -9 "$kafka_pid" 2>/dev/null || true
    wait "$kafka_pid" 2>/dev/null || true
    kafka_pid=
}
