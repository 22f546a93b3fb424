"""What was done with an archive, and when, in a chain that nobody can change unseen.

>>> log = Log(Path("archive/log.jsonl"))
>>> log.append("weights.registered", {"sha256": sha256, "name": "starter"})
>>> head = sign(log, Path("key.pem").read_bytes())

A part of it goes out with every export (`extract`), and `inference/check_chain.py` checks that part anywhere.
"""

from pithead.evidence.canonical import canonical, settled, sha256_json
from pithead.evidence.log import MENDED, SIGNED, Log, check_lines, extract
from pithead.evidence.record import NOTHING, Record
from pithead.evidence.signature import Signature, check_signatures, sign

__all__ = [
    "MENDED",
    "NOTHING",
    "SIGNED",
    "Log",
    "Record",
    "Signature",
    "canonical",
    "check_lines",
    "check_signatures",
    "extract",
    "settled",
    "sha256_json",
    "sign",
]
