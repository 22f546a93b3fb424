"""A multipart form as it comes: its file goes where it is told, piece by piece; its fields are kept."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from pithead.server.problems import Problem

FIELDS: Final = 16
FIELD_BYTES: Final = 4096


@dataclass(slots=True)
class _Part:
    """The part of the form that is being read."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    name: str = ""
    is_file: bool = False
    text: bytearray = field(default_factory=bytearray)


class StreamedForm:
    """Reads a form whose file is never held in memory, nor anywhere but where it shall be.

    Attributes:
        fields: The text of each field by its name.
        filename: What the client calls the file; None as long as there was none.
    """

    def __init__(self, content_type: str, file_field: str, write: Callable[[bytes], None]) -> None:
        """Begin with a request's Content-Type.

        Args:
            content_type: With the boundary.
            file_field: The name of the field that is the file.
            write: Takes the bytes of the file.

        Raises:
            Problem: 400 without a boundary.
        """
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if not 0 < len(boundary) <= 200:
            raise malformed("a boundary")
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self._wanted, self._write, self._ended = file_field, write, False
        self._part, self._header, self._value = _Part(), b"", b""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._on_header,
                "on_header_value": self._on_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers,
                "on_part_data": self._on_data,
                "on_part_end": self._end,
                "on_end": self._finish,
            },
        )

    def write(self, data: bytes) -> None:
        """Read some more of the body.

        Raises:
            Problem: 400 where it is no form; whatever the file's `write` raises.
        """
        try:
            self._parser.write(data)
        except MultipartParseError as error:
            raise malformed("parts") from error

    def finish(self) -> None:
        """End the body.

        Raises:
            Problem: 400 where the form has not ended, or had no file.
        """
        if not self._ended:
            raise malformed("its last boundary")
        if self.filename is None:
            raise Problem(
                400, "", f"expected a multipart form with the image as file field {self._wanted!r}, got none"
            )

    def _begin(self) -> None:
        self._part, self._header, self._value = _Part(), b"", b""

    def _on_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._part.headers[self._header.lower()] = self._value.strip()
        self._header = self._value = b""

    def _on_headers(self) -> None:
        _, options = parse_options_header(self._part.headers.get(b"content-disposition"))
        name, filename = options.get(b"name"), options.get(b"filename")
        if name is None:
            raise malformed("the name of each part")
        self._part.name = name.decode("utf-8", "replace")
        if self._part.name != self._wanted:
            if filename is not None:
                raise Problem(400, "", f"expected one file, as field {self._wanted!r}, got another one")
            if len(self.fields) >= FIELDS:
                raise Problem(400, "", f"expected a form of at most {FIELDS} fields, got more")
            return
        coding = self._part.headers.get(b"content-transfer-encoding", b"binary").lower()
        if self.filename is not None or coding not in {b"binary", b"8bit", b"7bit"}:
            raise Problem(400, "", f"expected one file, as field {self._wanted!r}, as it is (binary)")
        self._part.is_file, self.filename = True, (filename or b"").decode("utf-8", "replace")

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._part.is_file:
            self._write(data[start:end])
            return
        self._part.text += data[start:end]
        if len(self._part.text) > FIELD_BYTES:
            raise Problem(400, "", f"expected fields of at most {FIELD_BYTES} bytes, got more")

    def _end(self) -> None:
        if not self._part.is_file:
            self.fields[self._part.name] = self._part.text.decode("utf-8", "replace")

    def _finish(self) -> None:
        self._ended = True


def malformed(lacking: str) -> Problem:
    """400: it is no form."""
    return Problem(400, "", f"expected a well-formed multipart form, {lacking} could not be read")
