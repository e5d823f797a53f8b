"""Receives an upload, whoever brings its bytes: takes it apart, checks each row, and makes the job at its end."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.conf import settings

from accounts.models import User
from datasets.capacity import check_size, check_space
from datasets.creation import job_create
from datasets.models import Job
from datasets.multipart import MultipartLimits, MultipartUpload, UploadFormatError
from datasets.options import JobOptions, OptionError, OptionLimits, ignored_fields, job_name
from datasets.parsing import DatasetParser, ParseLimits, RowError
from datasets.uploads import Packer, Part, parts_store, upload_begin, upload_drop
from dpl_site.lib.refusals import Refused

MAX_FIELD_BYTES = 256 * 1024


class Reception:
    """Feed it a body, store the parts that it gives. Every problem of the upload is a Refused.

    With a `content_type` the body is a multipart form with a part `file`; without, it is the file itself.
    """

    def __init__(self, content_type: str | None = None) -> None:
        self._parser = DatasetParser(
            ParseLimits(max_row_bytes=settings.DPL_MAX_ROW_KB * 1024, max_rows=settings.DPL_MAX_ITEMS)
        )
        self._packer = Packer()
        self._pieces: list[bytes] = []
        self._form: MultipartUpload | None = None
        if content_type is not None:
            with _refusing():
                limits = MultipartLimits(max_field_bytes=MAX_FIELD_BYTES)
                self._form = MultipartUpload(content_type, self._pieces.append, limits)

    @property
    def fields(self) -> Mapping[str, str]:
        """The form's other fields, whole when it is closed."""
        return self._form.fields if self._form else {}

    @property
    def filename(self) -> str:
        """What the file is called."""
        return self._form.filename if self._form else ""

    @property
    def rows(self) -> int:
        """How many rows there are, when it is closed."""
        return self._packer.rows

    def feed(self, data: bytes) -> list[Part]:
        """Take some of the body; the parts that became full."""
        with _refusing():
            if self._form is None:
                return self._checked(data)
            self._form.feed(data)
            return self._file_so_far()

    def close(self) -> list[Part]:
        """The body has ended: the last part."""
        with _refusing():
            full: list[Part] = []
            if self._form is not None:
                self._form.close()
                full = self._file_so_far()
            return full + self._packer.add(row.raw for row in self._parser.close()) + self._packer.rest()

    def _file_so_far(self) -> list[Part]:
        data = b"".join(self._pieces)
        self._pieces.clear()
        return self._checked(data)

    def _checked(self, data: bytes) -> list[Part]:
        return self._packer.add(row.raw for row in self._parser.feed(data)) if data else []


def job_of_upload(
    *, owner_id: int, upload_id: uuid.UUID, rows: int, fields: Mapping[str, str], filename: str
) -> Job:
    """The job of an upload whose rows are all stored. Raises Refused for fields that cannot be used."""
    with _refusing():
        options = JobOptions.from_fields(fields, option_limits())
        name = job_name(fields, filename)
    return job_create(owner_id=owner_id, upload_id=upload_id, name=name, options=options, rows=rows)


def upload_from_chunks(
    *, owner: User, chunks: Iterable[bytes], fields: Mapping[str, str], filename: str
) -> Job:
    """The job of a dataset file that is read here and now; when anything is wrong, nothing is left of it.

    Raises Refused, which names the row or the field.
    """
    reception, size = Reception(), 0
    upload_id = upload_begin(owner_id=owner.pk, instance_id=None)
    try:
        for chunk in chunks:
            size += len(chunk)
            check_size(size)
            _store(upload_id, reception.feed(chunk))
        _store(upload_id, reception.close())
        return job_of_upload(
            owner_id=owner.pk, upload_id=upload_id, rows=reception.rows, fields=fields, filename=filename
        )
    except BaseException:
        upload_drop(upload_id=upload_id)
        raise


def made_answer(job: Job, fields: Mapping[str, str]) -> dict[str, Any]:
    """What the uploader is told: the job's id and size, and which of his fields meant nothing."""
    answer: dict[str, Any] = {"job_id": job.id, "status": job.state, "total": job.total}
    ignored = ignored_fields(fields)
    return answer | ({"ignored": ignored} if ignored else {})


def option_limits() -> OptionLimits:
    """What a job gets when nothing is said, by the settings."""
    return OptionLimits(attempts=settings.DPL_ITEM_ATTEMPTS, timeout_s=settings.DPL_ITEM_TIMEOUT_S)


def _store(upload_id: uuid.UUID, parts: list[Part]) -> None:
    if parts:
        check_space()
        parts_store(upload_id=upload_id, parts=parts)


@contextmanager
def _refusing() -> Iterator[None]:
    """What is wrong with an upload, as the answer to it."""
    try:
        yield
    except RowError as error:
        detail = {"row": error.row, "field": error.field}
        raise Refused(_sentence(error.message), code=error.code, detail=detail) from error
    except OptionError as error:
        raise Refused(error.message, code=error.code, detail={"field": error.field}) from error
    except UploadFormatError as error:
        status = 415 if error.code == "not_multipart" else 400
        raise Refused(_sentence(error.message), code=error.code, status=status) from error


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
