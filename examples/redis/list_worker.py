"""A worker of a list: REDIS_URL=redis://127.0.0.1:6379 WORKER=w-1 python3 list_worker.py jobs:standard"""
import json, os, sys, redis

queue, me = sys.argv[1], os.environ.get("WORKER", "w-1")
processing = f"{queue}:processing:{me}"
jobs = redis.Redis.from_url(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379"))

def handle(job):
    print(job["id"], job["body"], flush=True)

# What it had in its hands when it died goes back first, then it is found like every other job.
while jobs.lmove(processing, queue, "LEFT", "RIGHT"):
    pass
while True:
    element = jobs.blmove(queue, processing, 1, "RIGHT", "LEFT")
    if element:
        handle(json.loads(element))
        jobs.lrem(processing, 1, element)
