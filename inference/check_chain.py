r"""Check a chain of evidence that came with an export: python check_chain.py chain.jsonl [public_key.pem].

It needs nothing but Python. Each line of the file is a record in JSON: seq, time, kind, facts_sha256,
previous and hash, and with its facts also facts and salt. Records that concern others come without facts.

    hash          sha256 of {"facts_sha256", "kind", "previous", "seq", "time"}
    facts_sha256  sha256 of {"facts", "salt"}
    previous      the hash of the record before, and seq is one more than its seq; the first record of all has
                  seq 0 and 64 zeros, but a part of a chain may begin later

Both sums are over JSON in ASCII with sorted keys, no spaces, and numbers as Python writes them. A signature
(kind head.signed) is Ed25519 over "pithead evidence\nSEQ\nHASH\n" of an earlier record; it is checked if a
public key is given, which takes the package `cryptography`; what comes after the last record that it covers
is not signed. The script ends with 1 at the first broken link.
"""

import base64
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

LINKED = ("seq", "time", "kind", "facts_sha256", "previous")
NAMES = {*LINKED, "hash"}, {*LINKED, "hash", "facts", "salt"}


def as_json(value: object) -> bytes:
    """A value as JSON, in the form that is hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def sha256(value: object) -> str:
    """The sha256 of a value as JSON."""
    return hashlib.sha256(as_json(value)).hexdigest()


def hold(record: dict[str, Any], line: bytes, hashes: dict[int, str]) -> None:
    """Hold a record to its line and to the ones before it, by their hashes; ValueError if it does not fit."""
    linked, last = {name: record[name] for name in LINKED}, next(reversed(hashes))
    if as_json(record) != line or set(record) not in NAMES:
        raise ValueError("it has more than its hash covers")  # a key that stands there twice, for one
    if type(record["seq"]) is not int or record["seq"] != last + 1 or record["previous"] != hashes[last]:
        raise ValueError("it does not follow the record before it")
    if record["hash"] != sha256(linked):
        raise ValueError("it does not have its own hash")
    if "facts" in record and record["facts_sha256"] != sha256({k: record[k] for k in ("facts", "salt")}):
        raise ValueError("its facts do not have their hash")


def signed(facts: dict[str, Any], hashes: dict[int, str], pem: bytes) -> bool:
    """Whether a signature is by this key and covers a record of this chain; ValueError if it does not fit."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 (only with a key)
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    key: Any = load_pem_public_key(pem)
    if key.public_bytes_raw().hex() != facts["public_key"] or facts["seq"] not in hashes:
        return False
    if facts["seq"] == next(iter(hashes)):
        return False  # it covers only what came before this part
    message = f"pithead evidence\n{facts['seq']}\n{hashes[facts['seq']]}\n".encode()
    try:
        key.verify(base64.b64decode(facts["signature"]), message)
    except InvalidSignature:
        raise ValueError("its signature does not fit") from None
    return True


def check(lines: list[bytes], key: bytes | None) -> str:
    """What a chain holds; the program ends with the number of the first line that does not fit."""
    hashes = {-1: "0" * 64}
    facts = signatures = covered = 0
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            if number == 1 and record["seq"] > 0:
                hashes = {record["seq"] - 1: record["previous"]}
            hold(record, line, hashes)
            facts += "facts" in record
            signs = record["kind"] == "head.signed" and "facts" in record
            if key and signs and signed(record["facts"], hashes, key):
                signatures, covered = signatures + 1, record["facts"]["seq"]
        except (ValueError, KeyError, TypeError) as error:
            sys.exit(f"line {number}: the chain is broken here: {error}")
        hashes[record["seq"]] = record["hash"]
    if key and not signatures:
        sys.exit("no signature by this key covers this chain")
    told = f"{len(lines)} records hold together, {facts} with their facts; {signatures} signatures by the key"
    return f"{told}, up to record {covered}" if signatures else told


if __name__ == "__main__":
    files = [Path(name).read_bytes() for name in sys.argv[1:3]]
    print(check(files[0].splitlines(), files[1] if files[1:] else None))
