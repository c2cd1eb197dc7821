"""Sends events with the official Python SDK, as it comes, in every mode it has; leases them back and lets the SDK read
what a worker gets. Prints one JSON object: the answers, and for each job whether it is the event that was sent.

    python cloud_events.py http://127.0.0.1:8080
"""

import base64
import json
import sys
import urllib.parse
import urllib.request
from datetime import datetime, timezone

from cloudevents.core.bindings import http
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from cloudevents.v1.http import CloudEvent as OldEvent
from cloudevents.v1.http import from_http as old_from_http
from cloudevents.v1.http import to_binary as old_to_binary
from cloudevents.v1.http import to_structured as old_to_structured

GATEWAY = sys.argv[1]
BYTES = bytes([0, 255, 254, 10, 37])
SUBJECT = 'Zoë kauft 100 % für 5 €, "sofort" 😀 %41'
EXTENSIONS = {"partitionkey": "käufer-7", "comexampleflag": "true", "comexamplecount": -17}
FULL = {"subject": SUBJECT, "datacontenttype": "application/json", **EXTENSIONS}


def event(id, type, data, **more):
    attributes = {
        "id": id,
        "type": type,
        "source": "https://shop.example/orders",
        "specversion": "1.0",
        "time": datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=timezone.utc),
        **more,
    }
    return attributes, data


EVENTS = {
    attributes["id"]: (attributes, data)
    for attributes, data in [
        event("binary-json", "payment", {"total": "5 €", "lines": [1, 2.5, None]}, **FULL),
        event("binary-bytes", "report", BYTES, datacontenttype="application/octet-stream"),
        event("structured-json", "payment", {"total": "5 €", "deep": [[[{}]]]}, **FULL),
        event("structured-bytes", "digest", BYTES, datacontenttype="application/x-invoice"),
        event("batched-json", "payment", {"n": 1}, **FULL),
        event("batched-text", "digest", "5 €", datacontenttype="text/plain"),
        event("old-binary", "payment", {"total": 5}, datacontenttype="application/json", subject="two words"),
        event("old-structured", "payment", {"total": 5}, **FULL),
    ]
}


def post(path, body, headers):
    request = urllib.request.Request(GATEWAY + path, data=body, headers=headers, method="POST")
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def call(path, body):
    return post(path, json.dumps(body).encode(), {"content-type": "application/json"})


def send(id):
    attributes, data = EVENTS[id]
    if id.startswith("old"):
        old = OldEvent({**attributes, "time": attributes["time"].isoformat()}, data)
        headers, body = old_to_binary(old) if id == "old-binary" else old_to_structured(old)
        return post("/v1/jobs", body, headers)
    write = http.to_binary_event if id.startswith("binary") else http.to_structured_event
    message = write(CloudEvent(attributes, data))
    return post("/v1/jobs", message.body, message.headers)


def encoded(value):
    """An attribute's text as header fields of HTTP carry it: what `headers` of a lease has is the text itself."""
    return urllib.parse.quote(value, safe="!#$&'()*+,-./:;<=>?@[]^_`{|}~\\")


def read(job):
    body = job["body"].encode() if "body" in job else base64.b64decode(job["body_base64"])
    content_type = job["content_type"]
    structured = content_type is not None and content_type.startswith("application/cloudevents+json")
    id = job["headers"]["ce-id"]
    if id.startswith("old"):
        headers = {**job["headers"], "content-type": content_type}
        found = old_from_http(headers, body)
        attributes = dict(found.get_attributes())
        attributes["time"] = datetime.fromisoformat(attributes["time"])
        data = found.data
    else:
        headers = {name: encoded(value) for name, value in job["headers"].items()}
        message = http.HTTPMessage({**headers, "content-type": content_type}, body)
        found = http.from_structured_event(message) if structured else http.from_binary_event(message)
        attributes, data = dict(found.get_attributes()), found.get_data()
    sent_attributes, sent_data = EVENTS[id]
    if not structured:
        # In binary mode every attribute is a text.
        sent_attributes = {k: v if k == "time" else str(v) for k, v in sent_attributes.items()}
    same = (attributes, data) == (sent_attributes, sent_data)
    return {
        "id": id,
        "tier": job["tier"],
        "ordering_key": job["ordering_key"],
        "same": same,
        "sent": repr((sent_attributes, sent_data)),
        "read": repr((attributes, data)),
    }


answers = [send(id) for id in EVENTS if not id.startswith("batched")]
batch = [JSONFormat().write(CloudEvent(*EVENTS[id])) for id in EVENTS if id.startswith("batched")]
media = {"content-type": "application/cloudevents-batch+json; charset=UTF-8"}
answers += post("/v1/jobs/batch", b"[" + b" , ".join(batch) + b"]", media)["items"]
jobs = call("/v1/leases", {"max": 100})["jobs"]
call("/v1/leases/ack", {"leases": [job["lease"] for job in jobs]})
print(json.dumps({"answers": answers, "jobs": [read(job) for job in jobs]}))
