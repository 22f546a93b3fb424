"""What a server says of a file, without or with fetching it."""

import hashlib
import json
import re
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import parse_qsl, urlsplit
from urllib.request import Request, urlopen

import fsspec

from pithead.errors import SceneError
from pithead.imagery import told_name

_TIMEOUT_S = 30
_GONE = {404, 410}
_CHUNK = 1 << 20
# Parameters of signed addresses of the usual object stores and of vendors' APIs.
_KEYS = re.compile(
    r"x-(amz|goog)-.*|sig|signature|token|.*_token|.*key|se|sp|sv|expires|policy", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Told:
    """Size and version of a remote file."""

    bytes: int
    etag: str | None
    """What the server calls this version: ETag, else the time of the last change."""


def address_of(path: str) -> str:
    """A remote path as the catalogue keeps it: an address, of which nothing is a key.

    Raises:
        SceneError: It is no https://, http:// or s3:// address, or it carries a key.
    """
    address = re.sub(r"^/vsicurl/", "", re.sub(r"^/vsis3/", "s3://", path))
    address = re.sub(r"^(https?|s3):/+", r"\1://", address)
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https", "s3"}:
        raise SceneError(
            f"{told_name(path)}: expected a file, https:// or s3://, got a virtual path of GDAL: unpack it"
        )
    if "@" in parts.netloc or any(
        _KEYS.fullmatch(name) for name, _ in parse_qsl(parts.query, keep_blank_values=True)
    ):
        raise SceneError(
            f"{told_name(path)}: expected an address without a key, got one with: the catalogue is no place "
            "for it; let GDAL know the key (AWS_…, GDAL_HTTP_HEADER_FILE), and name the plain address"
        )
    return address


def look(address: str) -> Told | None:
    """What the server says of a file now; None if it says that there is none.

    Raises:
        SceneError: The server does not answer, or not with a size.
    """
    try:
        if address.startswith("s3://"):
            told = fsspec.filesystem("s3").info(address)
            size, etag = told.get("size"), told.get("ETag") or told.get("LastModified")
        else:
            headers = _ask(address)
            size, etag = _size(headers), headers.get("ETag") or headers.get("Last-Modified")
    except FileNotFoundError:
        return None
    except HTTPError as error:
        if error.code in _GONE:
            return None
        raise _unanswered(address, error) from error
    except Exception as error:  # clients of object stores have errors of their own kind
        raise _unanswered(address, error) from error
    if size is None or not str(size).isdecimal():
        raise _unanswered(address, ValueError("no size"))
    return Told(int(size), None if etag is None else str(etag).strip('"'))


def fetched_sha256(address: str, told: Told) -> str:
    """The sha256 of a remote file, all of which is fetched for it.

    Raises:
        SceneError: It cannot be fetched, or not as many bytes as the server told of.
    """
    hashed, size = hashlib.sha256(), 0
    try:
        with _opened(address) as file:
            while chunk := file.read(_CHUNK):
                hashed.update(chunk)
                size += len(chunk)
    except Exception as error:  # as above
        raise _unanswered(address, error) from error
    if size != told.bytes:  # a connection that breaks off reads like the end of the file
        raise SceneError(
            f"{told_name(address)}: expected {told.bytes} bytes, got {size}: the connection broke off, or "
            "the file changes while it is read: try again"
        )
    return hashed.hexdigest()


def fingerprint(address: str, told: Told) -> str:
    """64 hexadecimal digits that change with address, size or ETag, and say nothing of the bytes."""
    facts = {"address": address, "bytes": told.bytes, "etag": told.etag}
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _ask(address: str) -> Message:
    """The headers of a file; of a server that does not know HEAD, those of its first byte."""
    try:
        with urlopen(Request(address, method="HEAD"), timeout=_TIMEOUT_S) as answer:  # noqa: S310 (checked)
            return answer.headers  # type: ignore[no-any-return]
    except HTTPError as error:
        if error.code not in {403, 405, 501}:
            raise
    first = Request(address, headers={"Range": "bytes=0-0"})  # noqa: S310
    with urlopen(first, timeout=_TIMEOUT_S) as answer:  # noqa: S310
        return answer.headers  # type: ignore[no-any-return]


def _size(headers: Message) -> str | None:
    span = headers.get("Content-Range", "")
    return span.rpartition("/")[2] if "/" in span else headers.get("Content-Length")


def _opened(address: str) -> Any:  # noqa: ANN401 (fsspec publishes no types)
    if address.startswith("s3://"):
        return fsspec.open(address, "rb")
    return urlopen(address, timeout=_TIMEOUT_S)  # noqa: S310


def _unanswered(address: str, error: Exception) -> SceneError:
    reason = error.reason if isinstance(error, URLError) else str(error).strip() or type(error).__name__
    return SceneError(
        f"{told_name(address)}: expected an answer of the server with the size of the file, got {reason}: "
        "check the address and the network"
    )
