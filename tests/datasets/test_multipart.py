"""Multipart uploads: the file's bytes go on as they come, fields are kept, and what is malformed is said."""

from __future__ import annotations

import pytest

from datasets.multipart import MultipartLimits, MultipartUpload, UploadFormatError

TYPE = 'multipart/form-data; boundary="xyz"'


def part(name: str, value: str, extra: str = "") -> str:
    return f'--xyz\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n{value}\r\n'


BODY = (
    part("model", "llama3:8b")
    + part("file", "[1,\r\n2]", '; filename="数据.json"')
    + part("name", "数据")
    + "--xyz--\r\n"
)


@pytest.mark.parametrize("step", [1, 2, 13, 10_000])
def test_file_and_fields_are_told_apart_however_the_body_is_cut(step: int) -> None:
    got: list[bytes] = []
    upload = MultipartUpload(TYPE, got.append)
    body = BODY.encode()
    for start in range(0, len(body), step):
        upload.feed(body[start : start + step])
    upload.close()
    assert b"".join(got) == b"[1,\r\n2]"
    assert upload.fields == {"model": "llama3:8b", "name": "数据"}
    assert upload.filename == "数据.json"


def test_the_files_bytes_go_on_before_the_upload_ends() -> None:
    got: list[bytes] = []
    upload = MultipartUpload(TYPE, got.append)
    upload.feed(part("file", "[1, 2, 3", '; filename="a"').rstrip().encode())
    upload.feed(b", 4, 5")
    assert b"".join(got).startswith(b"[1, 2, 3")


def upload_all(body: str, content_type: str, limits: MultipartLimits | None) -> None:
    upload = MultipartUpload(content_type, lambda _: None, limits)
    upload.feed(body.encode())
    upload.close()


def refused(body: str, content_type: str = TYPE, limits: MultipartLimits | None = None) -> str:
    """The code of the refusal."""
    with pytest.raises(UploadFormatError) as error:
        upload_all(body, content_type, limits)
    assert error.value.message
    return error.value.code


def test_what_is_malformed_is_said() -> None:
    assert refused("", "application/json") == "not_multipart"
    assert refused("", "multipart/form-data") == "no_boundary"
    assert refused(part("model", "m") + "--xyz--\r\n") == "no_file"
    assert refused(part("file", "[1") + part("file", "[2") + "--xyz--\r\n") == "two_files"
    assert refused(part("file", "[1")) == "cut_off"
    assert refused("no multipart at all") == "bad_multipart"


def test_limits_are_kept_and_said() -> None:
    limits = MultipartLimits(max_fields=2, max_field_bytes=10, max_header_bytes=100)
    assert refused(part("a", "1") + part("b", "2") + part("c", "3"), limits=limits) == "too_many_fields"
    assert refused(part("a", "1" * 11), limits=limits) == "field_too_long"
    assert refused(part("a" * 200, "1"), limits=limits) == "headers_too_long"


def headed(*headers: str) -> str:
    """An upload whose file comes with more headers."""
    lines = "".join(f"\r\n{header}" for header in headers)
    return part("file", "[1]", f'; filename="a.json"{lines}') + "--xyz--\r\n"


def test_the_headers_of_a_part_are_bounded_together_however_many_there_are() -> None:
    upload_all(headed(*(f"X-{number}: v" for number in range(20))), TYPE, None)
    upload_all(headed("X-Long: " + "v" * 10_000), TYPE, None)
    assert refused(headed("X-Long: " + "v" * 20_000)) == "headers_too_long"
    assert refused(headed(*(f"X-{number}: " + "v" * 3000 for number in range(7)))) == "headers_too_long"


def test_a_limit_that_was_passed_is_named() -> None:
    limits = MultipartLimits(max_fields=2, max_field_bytes=10, max_header_bytes=100)
    for body, limit in (
        (part("a", "1") + part("b", "2") + part("c", "3"), "2 fields"),
        (part("a", "1" * 11), "10 bytes"),
        (part("a" * 200, "1"), "100 bytes"),
    ):
        with pytest.raises(UploadFormatError, match=limit):
            upload_all(body, TYPE, limits)


@pytest.mark.parametrize("boundary", ["b" * 300, "数据"])
def test_a_boundary_that_cannot_be_one_is_refused_and_no_crash(boundary: str) -> None:
    assert refused("", f"multipart/form-data; boundary={boundary}") in ("bad_multipart", "cut_off")


def test_a_part_without_a_name_is_refused() -> None:
    assert refused("--xyz\r\nContent-Disposition: form-data\r\n\r\nv\r\n--xyz--") == "bad_multipart"
    assert refused("--xyz\r\nX-Other: y\r\n\r\nv\r\n--xyz--") == "bad_multipart"


def test_a_file_in_a_transfer_encoding_is_refused_rather_than_misread() -> None:
    upload_all(headed("Content-Transfer-Encoding: Binary"), TYPE, None)
    assert refused(headed("Content-Transfer-Encoding: base64")) == "wrong_encoding"


def test_what_the_file_is_made_into_may_refuse_it_with_an_error_of_its_own() -> None:
    def on_file(_: bytes) -> None:
        raise ValueError("row 3")

    with pytest.raises(ValueError, match="row 3"):
        MultipartUpload(TYPE, on_file).feed(BODY.encode())
