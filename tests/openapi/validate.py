"""Checks a file against OpenAPI 3.1: the document by the initiative's own schema, the schemas in it by JSON Schema
2020-12, the examples by the schemas that they stand beside."""

import json
import sys

import jsonschema_rs
from schemathesis.specs.openapi.definitions import OPENAPI_31

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def main(path):
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    jsonschema_rs.Draft202012Validator(OPENAPI_31).validate(document)
    schemas = 0
    for place, schema in found(document, "$"):
        jsonschema_rs.meta.validate({"$schema": DIALECT, **schema})
        # A reference leads into the document, so the schema is judged within it.
        validator = jsonschema_rs.Draft202012Validator({**document, **schema}, validate_formats=True)
        for example in schema.get("examples", []):
            fault = next(validator.iter_errors(example), None)
            if fault is not None:
                sys.exit(f"{place}: {example}: {fault.message}")
        schemas += 1
    print(f"valid: {len(document['paths'])} paths, {schemas} schemas")


def found(value, place):
    """The schemas of a document: what stands under `schema`, and the named ones."""
    if isinstance(value, dict):
        for key, member in value.items():
            below = f"{place}/{key}"
            if key == "schema" and isinstance(member, dict):
                example = [value["example"]] if "example" in value else []
                yield below, {**member, "examples": member.get("examples", []) + example}
            elif key == "schemas":
                yield from ((f"{below}/{name}", schema) for name, schema in member.items())
            else:
                yield from found(member, below)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from found(item, f"{place}/{index}")


main(sys.argv[1])
