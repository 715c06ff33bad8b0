"""A verifier of signed bundles that shares no code with blackbox, written from docs/evidence-format.md alone.

The standard library does everything except the signature check itself, which is cryptography's Ed25519.
``verify(folder, pem)`` returns the list of what does not hold.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PREFIX = bytes.fromhex("302a300506032b6570032100")  # RFC 8410: what stands before the 32 bytes of an Ed25519 key
OUTSIDE = {"manifest.json", "run.json", "statement.intoto.json", "statement.dsse.json"}


class Bad(Exception):
    pass


def spelt(value):
    """RFC 8785 by way of repr(): JavaScript's rule for where the point goes, applied to Python's digits."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return "{" + ",".join(f"{spelt(key)}:{spelt(value[key])}" for key in keys) + "}"
    if isinstance(value, list):
        return "[" + ",".join(spelt(item) for item in value) + "]"
    if isinstance(value, float):
        return number(value)
    return json.dumps(value, ensure_ascii=False)


def number(value):
    if value == 0:
        return "0"
    sign, digits, exponent = ("-" if value < 0 else ""), *decimal(abs(value))
    n = exponent + len(digits)
    if len(digits) <= n <= 21:
        text = digits + "0" * (n - len(digits))
    elif 0 < n <= 21:
        text = digits[:n] + "." + digits[n:]
    elif -6 < n <= 0:
        text = "0." + "0" * -n + digits
    else:
        text = digits[0] + ("." + digits[1:] if digits[1:] else "") + f"e{n - 1:+d}"
    return sign + text


def decimal(value):
    """Shortest digits and exponent with value = digits x 10^exponent."""
    from decimal import Decimal

    _, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    return "".join(map(str, digits)), exponent


def strict(text, what):
    """Parse JSON and insist on its one spelling; every number is a float64."""
    try:
        value = json.loads(text.decode("utf-8"), parse_int=float, parse_constant=lambda name: 1 / 0)
        if spelt(value).encode("utf-8") == text:
            return value
    except (ValueError, RecursionError, ZeroDivisionError):
        pass
    raise Bad(f"{what} is not canonical JSON")


def get(folder, name):
    path = os.path.join(folder, *name.split("/"))
    if os.path.islink(path) or not os.path.isfile(path):
        raise Bad(f"{name} is missing")
    with open(path, "rb") as file:
        return file.read()


def sha(text):
    return hashlib.sha256(text).hexdigest()


def tree(leaves):
    """RFC 9162, 2.1.1, level by level: an odd node at the end moves up unchanged."""
    level = [hashlib.sha256(b"\x00" + leaf).digest() for leaf in leaves]
    while len(level) > 1:
        pairs = [hashlib.sha256(b"\x01" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        level = pairs + ([level[-1]] if len(level) % 2 else [])
    return level[0].hex() if level else sha(b"")


def check_files(folder, manifest):
    found = set()
    for above, folders, names in os.walk(folder):
        for name in folders + names:
            path = os.path.join(above, name)
            known = os.path.relpath(path, folder).replace(os.sep, "/")
            if os.path.islink(path):
                yield f"{known} is a link"
            elif os.path.isfile(path):
                found.add(known)
            elif not os.path.isdir(path) or not os.listdir(path):
                yield f"{known} is no file of the bundle"
    for name in sorted((set(manifest["files"]) | OUTSIDE) - found):
        yield f"{name} is missing"
    for name in sorted(found - set(manifest["files"]) - OUTSIDE):
        yield f"{name} is not listed"
    for name in sorted(found & set(manifest["files"])):
        text, listed = get(folder, name), manifest["files"][name]
        if len(text) != listed["bytes"] or sha(text) != listed["sha256"]:
            yield f"{name} was changed"


def check_records(folder, manifest):
    text = get(folder, "records.jsonl")
    if text and not text.endswith(b"\n"):
        yield "records.jsonl is cut off"
        return
    lines = text.split(b"\n")[:-1]
    for count, line in enumerate(lines, start=1):
        strict(line, f"record {count}")
    if len(lines) != manifest["records"]["count"] or tree(lines) != manifest["records"]["merkle_root"]:
        yield "the records are not those of the manifest"


def check_signature(folder, manifest, pem):
    body = [line for line in pem.decode("ascii").splitlines() if line and "-----" not in line]
    spki = base64.b64decode("".join(body), validate=True)
    if len(spki) != 44 or not spki.startswith(PREFIX):
        raise Bad("the key is no Ed25519 key")
    envelope = strict(get(folder, "statement.dsse.json"), "the envelope")
    if set(envelope) != {"payload", "payloadType", "signatures"} or len(envelope["signatures"]) != 1:
        raise Bad("the envelope is malformed")
    (signature,) = envelope["signatures"]
    if set(signature) != {"keyid", "sig"} or signature["keyid"] != sha(spki):
        raise Bad("another key")
    payload, sig = once(envelope["payload"]), once(signature["sig"])
    kind = envelope["payloadType"].encode()
    if kind != b"application/vnd.in-toto+json":
        raise Bad("another type")
    try:
        signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
        Ed25519PublicKey.from_public_bytes(spki[12:]).verify(sig, signed)
    except InvalidSignature:
        raise Bad("the signature does not hold") from None
    if get(folder, "statement.intoto.json") != payload:
        yield "statement.intoto.json is not what was signed"
    yield from check_statement(folder, manifest, strict(payload, "the statement"), spki)


def once(encoded):
    decoded = base64.b64decode(encoded, validate=True)
    if base64.b64encode(decoded).decode() != encoded:
        raise Bad("base64 is not canonical")
    return decoded


def check_statement(folder, manifest, statement, spki):
    wanted = [("manifest.json", sha(get(folder, "manifest.json"))), ("run.json", sha(get(folder, "run.json")))]
    for role in sorted(manifest["inputs"]):
        wanted += [(f"{role}/{name}", digest) for name, digest in sorted(manifest["inputs"][role].items())]
    if statement["subject"] != [{"name": name, "digest": {"sha256": digest}} for name, digest in wanted]:
        yield "the statement is about something else"
    if statement["_type"] != "https://in-toto.io/Statement/v1":
        yield "the statement has another type"
    if statement["predicateType"] != "https://in-toto.io/attestation/test-result/v0.1":
        yield "the statement has another predicate"
    predicate = statement["predicate"]
    tests = {"passed": [], "warned": [], "failed": []}
    for name in sorted(manifest["checks"]):
        counts = manifest["checks"][name]
        tests[next((s for s in ("failed", "warned") if counts.get(s)), "passed")].append(name)
    result = "FAILED" if not manifest["passed"] else "WARNED" if tests["warned"] else "PASSED"
    plan = {"name": "plan.yaml", "digest": {"sha256": manifest["files"]["plan.yaml"]["sha256"]}}
    own = {"schema": "blackbox.statement/1", "records": manifest["records"],
           "public_key": base64.b64encode(spki).decode(), "signed_at": predicate["blackbox"]["signed_at"]}  # fmt: skip
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", own["signed_at"]):
        yield "the statement has no time of signing"
    said = {"result": result, "configuration": [plan], "blackbox": own}
    if predicate != said | {f"{status}Tests": names for status, names in tests.items()}:
        yield "the statement says something else than the manifest"


def verify(folder, pem):
    """Return what does not hold about a bundle under a public key in PEM; an empty list when all holds."""
    problems = []
    try:
        manifest = strict(get(folder, "manifest.json"), "manifest.json")
        if manifest["schema"] != "blackbox.bundle/1":
            raise Bad("another schema")
        for part in (check_files(folder, manifest), check_records(folder, manifest), check_signature(folder, manifest, pem)):
            problems.extend(part)
    except Bad as error:
        problems.append(str(error))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        problems.append(f"malformed: {error!r}")
    return problems


if __name__ == "__main__":
    with open(sys.argv[2], "rb") as key:
        found = verify(sys.argv[1], key.read())
    sys.stdout.write("\n".join(found) + "\n" if found else "holds\n")
    sys.exit(4 if found else 0)
