"""Takes a multipart upload apart as it arrives: the bytes of its file go on at once, its fields are kept. Pure."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FILE = "file"
_PLAIN = (b"", b"7bit", b"8bit", b"binary")


class UploadFormatError(ValueError):
    """The request is no upload that can be read: why, in words, and a code."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.message, self.code = message, code


@dataclass(frozen=True, slots=True)
class MultipartLimits:
    """How many fields, how long each, and how long all headers of a part together."""

    max_fields: int = 32
    max_field_bytes: int = 64 * 1024
    max_header_bytes: int = 16 * 1024


class MultipartUpload:
    """Feed it the body; `on_file` gets the bytes of the part named `file`, `fields` the others when it is closed."""

    def __init__(
        self, content_type: str, on_file: Callable[[bytes], None], limits: MultipartLimits | None = None
    ) -> None:
        """`content_type` is the request's. Raises UploadFormatError when it is not multipart with a boundary."""
        kind, options = parse_options_header(content_type.encode("latin-1", "replace"))
        if kind != b"multipart/form-data":
            raise UploadFormatError("expected multipart/form-data with a part named file", "not_multipart")
        if not options.get(b"boundary"):
            raise UploadFormatError("the multipart request names no boundary", "no_boundary")
        self.fields: dict[str, str] = {}
        self.filename = ""
        self._limits = limits or MultipartLimits()
        self._on_file = on_file
        self._has_file = self._is_over = False
        self._headers: dict[bytes, bytes] = {}
        self._name = b""
        self._header_name, self._header_value = bytearray(), bytearray()
        self._header_bytes = 0
        self._part = ""
        self._value = bytearray()
        self._parser = self._begin(options[b"boundary"])

    def feed(self, data: bytes) -> None:
        """Take some of the body. Raises UploadFormatError."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise UploadFormatError(
                f"the multipart request is malformed: {error}", "bad_multipart"
            ) from error

    def close(self) -> None:
        """The body has ended. Raises UploadFormatError when it ended too early or held no file."""
        if not self._is_over:
            raise UploadFormatError("the upload ends too early; it was cut off on its way", "cut_off")
        if not self._has_file:
            raise UploadFormatError("there is no part named file; send the dataset as one", "no_file")

    def _begin(self, boundary: bytes) -> MultipartParser:
        # The headers are counted here, a part's all together; the library's own limits would only say it worse.
        try:
            return MultipartParser(
                boundary, self._callbacks(), max_header_count=sys.maxsize, max_header_size=sys.maxsize
            )
        except FormParserError as error:
            raise UploadFormatError(
                f"the multipart request is malformed: {error}", "bad_multipart"
            ) from error

    def _callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._part_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def _part_begin(self) -> None:
        self._headers, self._header_bytes = {}, 0
        self._value = bytearray()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._header_value += data[start:end]

    def _count_header(self, size: int) -> None:
        self._header_bytes += size
        limit = self._limits.max_header_bytes
        if self._header_bytes > limit:
            raise UploadFormatError(
                f"the headers of a part are longer than {limit} bytes", "headers_too_long"
            )

    def _header_end(self) -> None:
        self._headers[bytes(self._header_name).lower()] = bytes(self._header_value)
        self._header_name, self._header_value = bytearray(), bytearray()

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._part = options.get(b"name", b"").decode("utf-8", "replace")
        if not self._part:
            raise UploadFormatError("the multipart request has a part without a name", "bad_multipart")
        self._refuse_encoded()
        if self._part == FILE:
            if self._has_file:
                raise UploadFormatError("there are two parts named file; send one", "two_files")
            self._has_file = True
            self.filename = options.get(b"filename", b"").decode("utf-8", "replace")
        elif len(self.fields) >= self._limits.max_fields:
            raise UploadFormatError(f"more than {self._limits.max_fields} fields", "too_many_fields")

    def _refuse_encoded(self) -> None:
        encoding = self._headers.get(b"content-transfer-encoding", b"").strip().lower()
        if encoding not in _PLAIN:
            shown = encoding[:40].decode("ascii", "replace")
            message = f"the part {self._part} is in {shown}; send it without a transfer encoding"
            raise UploadFormatError(message, "wrong_encoding")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._part == FILE:
            self._on_file(data[start:end])
            return
        self._value += data[start:end]
        if len(self._value) > self._limits.max_field_bytes:
            limit = self._limits.max_field_bytes
            message = (
                f"the field {self._part} is longer than {limit} bytes; a dataset goes into the part {FILE}"
            )
            raise UploadFormatError(message, "field_too_long")

    def _part_end(self) -> None:
        if self._part != FILE:
            try:
                self.fields[self._part] = self._value.decode("utf-8")
            except UnicodeDecodeError as error:
                raise UploadFormatError(
                    f"the field {self._part} is not in UTF-8", "wrong_encoding"
                ) from error

    def _end(self) -> None:
        self._is_over = True
