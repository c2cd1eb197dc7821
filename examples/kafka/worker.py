"""A worker of a topic: KAFKA_BROKERS=127.0.0.1:9092 python3 worker.py jobs.standard"""
import os, sys, confluent_kafka

jobs = confluent_kafka.Consumer({
    "bootstrap.servers": os.environ.get("KAFKA_BROKERS", "127.0.0.1:9092"), "group.id": "workers",
    "enable.auto.commit": False, "auto.offset.reset": "earliest"})
jobs.subscribe([sys.argv[1]])

def handle(headers, payload):
    print(headers["id"].decode(), payload.decode(), flush=True)

while True:
    for job in jobs.consume(100, timeout=1):
        if job.error() is None:
            handle(dict(job.headers() or []), job.value())
            jobs.commit(job, asynchronous=True)  # what is behind it in its partition is done, too
