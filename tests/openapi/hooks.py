"""What schemathesis cannot know of the gateway: how NDJSON is made, and which leases are not worth their time."""

import gzip
import json
import struct

import requests
import schemathesis
from hypothesis import strategies as st

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def lines(values):
    return "".join(json.dumps(value) + "\n" for value in values).encode()


schemathesis.openapi.media_type("application/x-ndjson", st.lists(VALUES, min_size=1, max_size=20).map(lines))


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Where a body may be left out, schemathesis leaves it out as a bad one at times, and then says itself that nothing
    in the request is bad."""
    return "Invalid component: positive test case" not in failure.message


@schemathesis.hook
def before_call(context, case, kwargs):
    """A worker that waits 30 s for a job is well served, but the fuzz would wait too; and one that takes a thousand
    leaves none to the next. Only good numbers are made smaller: bad ones stay as bad as they are."""
    coding = str(case.headers.get("Content-Encoding"))
    if coding in CODINGS:
        # requests lets whoever signs a request change it when it is whole.
        kwargs["auth"] = Compressed(CODINGS[coding])
    if "cloudevents" in str(case.media_type):
        case.body = without_fractions(case.body)
    if case.path == "/v1/leases" and isinstance(case.body, dict):
        for key, most, smaller in (("wait_seconds", 30, 0), ("max", 1_000, 3)):
            number = case.body.get(key)
            if is_whole(number) and smaller < number <= most:
                case.body = {**case.body, key: smaller}


class Compressed(requests.auth.AuthBase):
    """Who says that a body is compressed compresses it."""

    def __init__(self, coding):
        self.coding = coding

    def __call__(self, request):
        body = request.body or b""
        request.body = self.coding(body.encode() if isinstance(body, str) else body)
        return request


def zstd(body):
    """A frame of raw blocks (RFC 8878): Python has no encoder before 3.14."""
    blocks = [body[at : at + 100_000] for at in range(0, len(body), 100_000)] or [b""]
    frame = b"\x28\xb5\x2f\xfd\xa0" + struct.pack("<I", len(body))
    for index, block in enumerate(blocks):
        last = index + 1 == len(blocks)
        frame += struct.pack("<I", len(block) << 3 | last)[:3] + block
    return frame


CODINGS = {"gzip": gzip.compress, "zstd": zstd}


def without_fractions(event):
    """To JSON Schema 14.0 is a whole number; an event's attribute is judged by its digits."""
    if isinstance(event, list):
        return [without_fractions(item) for item in event]
    if isinstance(event, dict):
        return {key: int(value) if isinstance(value, float) and value.is_integer() else value for key, value in event.items()}
    return event


def is_whole(number):
    return isinstance(number, (int, float)) and not isinstance(number, bool) and number == int(number)
