#!/usr/bin/env bash
# A worker of a topic, for payloads of one line, for trying out: KAFKA_BROKERS=127.0.0.1:9092 worker.sh jobs.standard
# Kafka's console consumer commits once a second what it printed, done or not: jobs are lost when this is killed.
set -euo pipefail
tab=$'\t'

handle() { echo "$1 $(cat)"; } # $1 is the job's id, its payload comes on standard input

${CONSUMER:-kafka-console-consumer.sh} --bootstrap-server "${KAFKA_BROKERS:-127.0.0.1:9092}" --topic "$1" --group workers \
    --from-beginning --property print.headers=true --consumer-property auto.commit.interval.ms=1000 |
    while IFS=$tab read -r headers payload; do
        id=${headers#*id:} id=${id%%,*}
        handle "$id" <<<"$payload"
    done
