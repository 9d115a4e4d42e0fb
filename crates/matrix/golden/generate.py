"""Writes events.json: redacted forms, content and reference hashes, event and room IDs by a second implementation.

    python3 -m venv venv && venv/bin/pip install matrix-synapse==1.163.2
    venv/bin/python generate.py > events.json

Every event is kept as the text that is hashed, so that numbers keep their form.
"""

import copy
import hashlib
import json
import sys

from canonicaljson import encode_canonical_json
from signedjson.key import decode_signing_key_base64
from synapse.api.room_versions import KNOWN_ROOM_VERSIONS
from synapse.crypto.event_signing import add_hashes_and_signatures, compute_content_hash, compute_event_reference_hash
from synapse.events import make_event_from_dict
from synapse.synapse_rust.events import redact_event_dict
from unpaddedbase64 import encode_base64

KEY = decode_signing_key_base64("ed25519", "golden", encode_base64(bytes([7] * 32)))
ALICE, BOB = "@alice:one.test", "@bob:two.test"

CONTENTS = [
    ("m.room.create", "", {"creator": ALICE, "room_version": "?", "m.federate": True, "predecessor": {"room_id": "!o:x"}}),
    ("m.room.member", BOB, {
        "membership": "invite", "displayname": "B\u00f6b \U0001f600", "reason": "x\u0007\n\"\\/",
        "join_authorised_via_users_server": ALICE,
        "third_party_invite": {"display_name": "b", "signed": {"mxid": BOB, "token": "t", "signatures": {}}},
    }),
    ("m.room.member", ALICE, {"membership": "join", "third_party_invite": {"display_name": "nothing signed"}}),
    ("m.room.power_levels", "", {
        "ban": 50, "kick": 51, "redact": 52, "invite": 53, "events": {"a": 1}, "events_default": 0, "state_default": 50,
        "users": {ALICE: 100}, "users_default": 0, "notifications": {"room": 20}, "historical": 1,
    }),
    ("m.room.join_rules", "", {"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": "!a:x"}], "x": 1}),
    ("m.room.history_visibility", "", {"history_visibility": "shared", "x": {}}),
    ("m.room.aliases", "one.test", {"aliases": ["#a:one.test"], "x": 0}),
    ("m.room.redaction", None, {"reason": "spam", "redacts": "$in_content:one.test"}),
    ("m.room.message", None, {"body": "hi", "msgtype": "m.text", "deep": [[{"z": None, "a": [True, False]}]]}),
    ("m.room.topic", "", {}),
]
LOOSE = ("m.room.message", None, {
    "float": 1.5, "whole": 10.0, "small": 1e-7, "huge": 1e300, "large": 9007199254740993, "least": -9223372036854775808,
})


def event_dict(version, index, event_type, state_key, content):
    def reference(event_id):
        return [event_id, {"sha256": "aGFzaA"}] if version.event_format == 1 else event_id

    content = copy.deepcopy(content)
    if event_type == "m.room.create":
        content["room_version"] = version.identifier
    event = {
        "type": event_type, "content": content, "sender": ALICE, "depth": index + 1,
        "origin_server_ts": 1_700_000_000_000 + index, "origin": "one.test", "membership": "x", "prev_state": [],
        "prev_events": [] if index == 0 else [reference("$before:one.test")],
        "auth_events": [] if index == 0 else [reference("$create:one.test")],
        "unsigned": {"age": 5}, "unknown": {"key": 1},
    }
    if state_key is not None:
        event["state_key"] = state_key
    if event_type == "m.room.redaction":
        event["redacts"] = "$at_the_top:one.test"
    if version.event_format == 1:
        event["event_id"] = f"${index}:one.test"
    if not (version.identifier == "12" and event_type == "m.room.create"):
        event["room_id"] = "!" + "A" * 43 if version.identifier == "12" else "!room:one.test"
    return event


def vector(version, index, event_type, state_key, content):
    event = event_dict(version, index, event_type, state_key, content)
    add_hashes_and_signatures(version, event, "one.test", KEY)
    made = make_event_from_dict(copy.deepcopy(event), version)
    redacted = redact_event_dict(version, copy.deepcopy(event))
    redacted.pop("unsigned", None)
    _, reference = compute_event_reference_hash(made)
    _, content_hash = compute_content_hash(copy.deepcopy(event), hashlib.sha256)
    return {
        "room_version": version.identifier,
        "event": encode_canonical_json(event).decode(),
        "redacted": encode_canonical_json(redacted).decode(),
        "content_hash": encode_base64(content_hash),
        "reference_hash": encode_base64(reference, urlsafe=version.event_format == 3 or version.event_format == 4),
        "event_id": made.event_id,
        "room_id": made.room_id,
    }


def main():
    vectors = []
    for number in range(1, 13):
        version = KNOWN_ROOM_VERSIONS[str(number)]
        contents = CONTENTS + ([LOOSE] if number <= 5 else [])
        vectors += [vector(version, index, *content) for index, content in enumerate(contents)]
    json.dump(vectors, sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")


main()
