"""Judges documents by a JSON Schema of the 2020-12 dialect. Reads {"schema", "documents"} as JSON from a file and prints, as
JSON, for each document null where it is valid, else what the first fault is."""

import json
import sys

import jsonschema_rs


def main(path):
    with open(path, encoding="utf-8") as file:
        given = json.load(file)
    jsonschema_rs.meta.validate(given["schema"])
    validator = jsonschema_rs.Draft202012Validator(given["schema"])
    print(json.dumps([first_fault(validator, document) for document in given["documents"]]))


def first_fault(validator, document):
    fault = next(validator.iter_errors(document), None)
    return None if fault is None else f"{list(fault.instance_path)}: {fault.message}"


main(sys.argv[1])
