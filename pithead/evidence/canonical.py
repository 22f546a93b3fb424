"""The one way in which facts are written as bytes before they are hashed."""

import hashlib
import json
from typing import Any

from pithead.errors import EvidenceError


def canonical(value: object) -> bytes:
    """A value as JSON in ASCII: keys sorted, no spaces, numbers as Python writes them, no NaN.

    Raises:
        EvidenceError: JSON has no such value.
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")
    except (TypeError, ValueError) as error:
        raise EvidenceError(f"expected facts that JSON can hold, got one that it cannot: {error}") from error


def settled(value: object) -> Any:  # noqa: ANN401 (whatever JSON holds)
    """A value as it comes back from JSON: tuples are lists, and keys are texts.

    Raises:
        EvidenceError: JSON has no such value.
    """
    return json.loads(canonical(value))


def sha256_json(value: object) -> str:
    """The sha256, in hexadecimal, of a value as `canonical` writes it.

    Raises:
        EvidenceError: JSON has no such value.
    """
    return hashlib.sha256(canonical(value)).hexdigest()
