r"""Check a chain of evidence that came with an export, and the exported file: its hash stands in the chain.

    python check_chain.py camp15.gpkg.chain.jsonl --file camp15.gpkg --key their_key.pub

It needs nothing but Python. Each line of the chain is a record in JSON: seq, time, kind, facts_sha256,
previous and hash, and with its facts also facts and salt. Records that concern others come without facts.

    hash          sha256 of {"facts_sha256", "kind", "previous", "seq", "time"}
    facts_sha256  sha256 of {"facts", "salt"}
    previous      the hash of the record before, and seq is one more than its seq; the first record of all has
                  seq 0 and 64 zeros, but a part of a chain may begin later

Both sums are over JSON in ASCII with sorted keys, no spaces, and numbers as Python writes them. A signature
(kind head.signed) is Ed25519 over "pithead evidence\nSEQ\nHASH\n" of an earlier record; with --key it is
checked, which takes the package `cryptography`; what comes after the last record that it covers is not
signed. With --file, the sha256 of that file (the map or table, or the list of scenes beside it) has to stand
in a record of kind export.made, with --key in one that is signed.

Exit status: 0 all holds, 1 something does not (the first broken line is named), 2 the chain, key or file that
was given is none.
"""

import argparse
import base64
import binascii
import hashlib
import json
import sys
from pathlib import Path
from typing import Any, NoReturn

LINKED = ("seq", "time", "kind", "facts_sha256", "previous")
NAMES = {*LINKED, "hash"}, {*LINKED, "hash", "facts", "salt"}
EXPORTED = ("sha256", "scenes_sha256")
ED25519 = bytes.fromhex("302a300506032b6570032100")  # what stands before the 32 bytes of a public key


class Chain:
    """A chain that holds together: hashes by seq, signatures, exports, and how many records have facts."""

    def __init__(self, lines: list[bytes], key: bytes | None) -> None:
        """Go through it; the program ends with the number of the first line that does not fit."""
        self.hashes = {-1: "0" * 64}
        self.facts = self.signatures = self.signed = 0
        self.covered = -1
        self.exports: dict[str, int] = {}
        for number, line in enumerate(lines, start=1):
            try:
                self.add(json.loads(line), line, key, first=number == 1)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                sys.exit(f"line {number}: the chain is broken here: {error}")

    def add(self, record: dict[str, Any], line: bytes, key: bytes | None, *, first: bool) -> None:
        """Take one more record in."""
        if first and record["seq"] > 0:
            self.hashes = {record["seq"] - 1: record["previous"]}
        hold(record, line, self.hashes)
        facts = record.get("facts", {})
        self.facts += "facts" in record
        if record["kind"] == "head.signed" and facts:
            self.signatures += 1
            if key and signs(facts, self.hashes, key):
                self.signed, self.covered = self.signed + 1, max(self.covered, facts["seq"])
        if record["kind"] == "export.made" and facts:
            for name in EXPORTED:  # of one that was exported twice the first is meant: it may be signed
                if name in facts:
                    self.exports.setdefault(facts[name], record["seq"])
        self.hashes[record["seq"]] = record["hash"]


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


def as_json(value: object) -> bytes:
    """A value as JSON, in the form that is hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def sha256(value: object) -> str:
    """The sha256 of a value as JSON."""
    return hashlib.sha256(as_json(value)).hexdigest()


def signs(facts: dict[str, Any], hashes: dict[int, str], key: bytes) -> bool:
    """Whether a signature is by this key and covers a record of this chain; ValueError if it does not fit."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 (only with a key)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    if key.hex() != facts["public_key"] or facts["seq"] not in hashes:
        return False
    if facts["seq"] == next(iter(hashes)):
        return False  # it covers only what came before this part
    message = f"pithead evidence\n{facts['seq']}\n{hashes[facts['seq']]}\n".encode()
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(base64.b64decode(facts["signature"]), message)
    except InvalidSignature:
        raise ValueError("its signature does not fit") from None
    return True


def read(path: Path, what: str) -> bytes:
    """The bytes of a file; the program ends if there is none."""
    try:
        return path.read_bytes()
    except OSError as error:
        refuse(f"expected {what}, {path} cannot be read: {error.strerror}")


def read_key(path: Path) -> bytes:
    """The 32 bytes of a public key in PEM; the program ends if it is none."""
    kind, _, rest = read(path, "a public key").partition(b"-----BEGIN ")[2].partition(b"-----")
    try:
        raw = base64.b64decode(b"".join(rest.partition(b"-----END")[0].split()), validate=True)
    except binascii.Error:
        raw = b""
    if kind != b"PUBLIC KEY" or not raw.startswith(ED25519) or len(raw) != len(ED25519) + 32:
        secret = "; this is a private key, which is for nobody else" if b"PRIVATE KEY" in kind else ""
        refuse(
            f"wrong key: {path} is no public Ed25519 key (PEM, BEGIN PUBLIC KEY){secret}; the chain was not "
            "checked; an exported file goes with --file"
        )
    try:
        import cryptography  # noqa: F401, PLC0415 (only with a key)
    except ImportError:
        refuse("to check a signature takes the package cryptography: install it, or leave the key out")
    return raw[len(ED25519) :]


def told_file(chain: Chain, path: Path, key: bytes | None) -> str:
    """That the file is the one that the chain speaks of; the program ends if it is not."""
    seq = chain.exports.get(hashlib.sha256(read(path, "an exported file")).hexdigest())
    if seq is None:
        sys.exit(f"{path} is not the file that was exported with this chain: no export.made has its sha256")
    if key and seq > chain.covered:
        sys.exit(
            f"{path} is the file of record {seq}, but the key has signed up to record {chain.covered} only: "
            "whoever has the chain could have added what comes after"
        )
    return f"; {path.name} is the file of record {seq}"


def refuse(why: str) -> NoReturn:
    """End with one line and status 2."""
    print(why, file=sys.stderr)
    sys.exit(2)


class Arguments(argparse.ArgumentParser):
    """Says what is wrong with a command in one line."""

    def error(self, message: str) -> NoReturn:
        """End with one line."""
        refuse(f"{message}; {' '.join(self.format_usage().split())}")


def main() -> str:
    """Check what the command names, and tell what holds."""
    asked = Arguments(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("chain", type=Path, help="the part of the log that came with the file")
    asked.add_argument("old_key", type=Path, nargs="?", metavar="KEY.pub", help="the same as --key")
    asked.add_argument("--key", type=Path, metavar="KEY.pub", help="public key of whoever signed (PEM)")
    asked.add_argument("--file", type=Path, metavar="NAME.gpkg", help="the file that was exported")
    given = asked.parse_args()
    lines = read(given.chain, "a chain of evidence").splitlines()
    if not lines or not lines[0].startswith(b"{"):
        refuse(f"expected a chain of evidence (NAME.chain.jsonl), got {given.chain}, which has no record")
    path = given.key or given.old_key
    key = None if path is None else read_key(path)
    chain = Chain(lines, key)
    if key and not chain.signed:
        sys.exit("no signature by this key covers this chain")
    s = "" if (chain.signed if key else chain.signatures) == 1 else "s"
    told = f"{len(lines)} records hold together, {chain.facts} with their facts; "
    if key:
        told += f"{chain.signed} signature{s} by the key, up to record {chain.covered}"
    else:
        told += f"{chain.signatures} signature{s}" + ", not checked (no key given)" * bool(chain.signatures)
    return told + ("" if given.file is None else told_file(chain, given.file, key))


if __name__ == "__main__":
    print(main())
