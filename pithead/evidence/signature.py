"""A signature on the head of the chain: who holds the public key sees whether anything before it changed."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from pithead.errors import EvidenceError
from pithead.evidence.log import SIGNED, Log
from pithead.evidence.record import Record


@dataclass(frozen=True, slots=True)
class Signature:
    """That a key has signed the chain as it was up to a record."""

    seq: int
    """The last record that is covered."""
    time: str
    """When it was signed, as the record says."""
    public_key: str
    """Raw bytes of the key in hexadecimal."""


def sign(log: Log, private_pem: bytes, password: bytes | None = None) -> Record:
    """Sign the head of a log with an Ed25519 key, and add that as a record of kind "head.signed".

    Raises:
        EvidenceError: The log is empty or its chain is broken, or the key is none of that kind.
    """
    head = None
    for head in log.records():  # noqa: B007 (what is signed has to hold from the first record on)
        pass
    if head is None:
        raise EvidenceError(f"expected a log with a record to sign at {log.path}, got an empty one")
    key = _private(private_pem, password)
    return log.append(
        SIGNED,
        {
            "seq": head.seq,
            "hash": head.hash,
            "public_key": key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex(),
            "signature": base64.b64encode(key.sign(message(head.seq, head.hash))).decode("ascii"),
        },
    )


def check_signatures(records: Iterable[Record], public_pem: bytes | None = None) -> tuple[Signature, ...]:
    """Every signature in a chain, held to the record that it covers.

    Args:
        records: A chain that was checked (`Log.records`, `check_lines`), whole or from some record on.
        public_pem: Only signatures by this key count; without it any key does, and proves only that nothing
            changed since.

    Raises:
        EvidenceError: A signature does not fit, or covers another chain; or the key is none of that kind.
    """
    wanted = None if public_pem is None else _public(public_pem)
    hashes: dict[int, str] = {}
    found = []
    for record in records:
        if not hashes:
            hashes[record.seq - 1] = record.previous
        hashes[record.seq] = record.hash
        if record.kind != SIGNED or record.facts is None:
            continue
        signature = _signed(record, hashes)
        if signature is not None and wanted in {None, signature.public_key}:
            found.append(signature)
    return tuple(found)


def message(seq: int, head_hash: str) -> bytes:
    """What is signed: a line that says so, the number of the record and its hash."""
    return f"pithead evidence\n{seq}\n{head_hash}\n".encode("ascii")


def _signed(record: Record, hashes: dict[int, str]) -> Signature | None:
    """A signature that fits; None of one that covers only what came before this part of the chain.

    Raises:
        EvidenceError: It does not fit.
    """
    facts: Any = record.facts
    try:
        seq, head, key = facts["seq"], facts["hash"], facts["public_key"]
        signature = base64.b64decode(facts["signature"], validate=True)
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(signature, message(seq, head))
        known = hashes.get(seq)
        ahead = seq >= record.seq
    except (InvalidSignature, KeyError, TypeError, ValueError) as error:
        raise EvidenceError(
            f"expected a signature in record {record.seq} that fits, got one that does not: the log is not "
            "the one that was signed"
        ) from error
    if ahead or known not in {None, head}:
        raise EvidenceError(
            f"expected record {seq} with the hash {head} that was signed, got {known}: the chain was written "
            "anew"
        )
    return None if known is None else Signature(seq, record.time, str(key))


def _private(pem: bytes, password: bytes | None) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(pem, password)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise EvidenceError(f"expected a private key as PEM, got none that opens: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise EvidenceError(
            f"expected an Ed25519 key, got {type(key).__name__}: make one with "
            "openssl genpkey -algorithm ed25519"
        )
    return key


def _public(pem: bytes) -> str:
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise EvidenceError(f"expected a public key as PEM, got none: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise EvidenceError(f"expected an Ed25519 key, got {type(key).__name__}")
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
