"""A worker of a stream: REDIS_URL=redis://127.0.0.1:6379 python3 stream_worker.py jobs:standard"""
import os, sys, redis

queue, group, me = sys.argv[1], "workers", os.environ.get("WORKER", f"w-{os.getpid()}")
jobs = redis.Redis.from_url(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379"))

def handle(job):
    print(job[b"id"].decode(), job[b"body"].decode(), flush=True)

while True:
    # First what another worker took a minute ago and did not finish, then what is new.
    entries = jobs.xautoclaim(queue, group, me, min_idle_time=60_000, count=10)[1]
    if not entries:
        entries = [entry for _, new in jobs.xreadgroup(group, me, {queue: ">"}, count=10, block=1000) for entry in new]
    for entry, job in entries:
        handle(job)
        jobs.xack(queue, group, entry)
