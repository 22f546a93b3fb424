"""What the server and a process that reads images say to each other: JSON heads with raw bytes behind them.

Never a pickle: whoever has taken over a process that decodes strangers' images must gain nothing by what it
says. Pixels lie in memory that both see, one slot a tile, and only the number of the slot is said.
"""

import json
import mmap
import os
import socket
import struct
from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from pithead.errors import OptionError

LENGTHS: Final = struct.Struct("<II")
"""Before each message: bytes of its head, and of what follows."""
MOST_HEAD: Final = 2**16
MOST_BODY: Final = 2**28

Told = Mapping[str, object]
Tiles = npt.NDArray[np.uint8]


def packed(head: Told, body: bytes = b"") -> bytes:
    """A message as it goes over the wire."""
    text = json.dumps(head).encode()
    return LENGTHS.pack(len(text), len(body)) + text + body


def lengths(start: bytes) -> tuple[int, int]:
    """How long the head and the body of a message are.

    Raises:
        OptionError: Longer than any that this project sends.
    """
    head, body = LENGTHS.unpack(start)
    if head > MOST_HEAD or body > MOST_BODY:
        raise OptionError(f"expected a message of at most {MOST_BODY} bytes, got {head} and {body}")
    return head, body


def read_head(text: bytes) -> dict[str, object]:
    """The head of a message.

    Raises:
        OptionError: It is no JSON object.
    """
    try:
        head = json.loads(text)
    except ValueError as error:
        raise OptionError("expected a message with a head of JSON, got something else") from error
    if not isinstance(head, dict):
        raise OptionError("expected a message with a JSON object, got something else")
    return head


def shared(slots: int, side: int) -> int:
    """A new file without a name for so many tiles of side × side px, gone with the last who has it open."""
    file = os.memfd_create("pithead-tiles")
    os.ftruncate(file, slots * side * side * 3)
    return file


def tiles_of(file: int, side: int) -> Tiles:
    """The tiles (slots, side, side, 3) of that file."""
    memory = mmap.mmap(file, os.fstat(file).st_size)
    return np.frombuffer(memory, np.uint8).reshape(-1, side, side, 3)


class Line:
    """The end of the child: it waits until a message is there."""

    def __init__(self, end: socket.socket) -> None:
        """Take a connected socket."""
        self._socket = end

    def send(self, head: Told, body: bytes = b"") -> None:
        """Say something."""
        self._socket.sendall(packed(head, body))

    def receive(self) -> tuple[dict[str, object], bytes, list[int]]:
        """What is said next: head, body, and open files that came with it.

        Raises:
            EOFError: Nobody is there any more.
        """
        start, files, _, _ = socket.recv_fds(self._socket, LENGTHS.size, 1)
        head, body = lengths(start + self._exactly(LENGTHS.size - len(start)))
        return read_head(self._exactly(head)), self._exactly(body), files

    def _exactly(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            more = self._socket.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return bytes(data)
