"""Files that may not travel are refused with their place and the reason."""

import pytest

from outrider.base import limits
from outrider.base.errors import CallerError, TooLargeError
from outrider.mail.mime import File
from outrider.policy import attach


def refusal(**changes: str) -> CallerError:
    file = File(**({"name": "a.pdf", "type": "application/pdf", "content": b"x"} | changes))  # type: ignore[arg-type]
    with pytest.raises(CallerError) as caught:
        attach.check(file, field="attachments[1]")
    return caught.value


@pytest.mark.parametrize(
    "name",
    ["a.pdf", "Rechnung März.pdf", "archive.tar.gz", "exe", "a.exe.txt", "no suffix", "exe.", "Re: exe", "12:30.pdf"],
)
def test_a_usual_file_may_travel(name: str) -> None:
    attach.check(File(name, "application/pdf", b"x"), field="attachments[0]")


@pytest.mark.parametrize("name", ["a.exe", "a.EXE", "a.pdf.js", "a.exe ", ".bat", "x.scr"])
def test_what_providers_block_is_refused(name: str) -> None:
    assert refusal(name=name).field == "attachments[1].name"


@pytest.mark.parametrize(
    "name",
    ["virus.exe.", "a.exe..", "a.exe. .", "a.js.", "a.lnk. ", "a.exe\u00a0", "a.exe::$DATA", "a.exe:b.txt", "Re: a.exe",
     "a.\uff45\uff58\uff45", "a\uff0eexe", "a.EXE.:"],
)  # fmt: skip
def test_a_name_under_which_windows_saves_a_program_is_refused(name: str) -> None:
    assert refusal(name=name).field == "attachments[1].name"


def test_a_program_by_its_type_is_refused() -> None:
    assert refusal(type="Application/X-MSDownload; a=b").field == "attachments[1].type"


@pytest.mark.parametrize(
    "name", ["", "x" * 256, "a/b.pdf", "..\\b.pdf", "..", ".", "a\r\nX: y", "a\x00.pdf", "a\u202efdp.exe", "\ud800.pdf"]
)
def test_a_name_that_is_none_is_refused(name: str) -> None:
    assert refusal(name=name).field == "attachments[1].name"


@pytest.mark.parametrize("kind", ["", "pdf", "a/b\r\nX: y", "a/" + "b" * 200])
def test_a_type_that_is_none_is_refused(kind: str) -> None:
    assert refusal(type=kind).field == "attachments[1].type"


def test_a_content_id_that_is_none_is_refused() -> None:
    assert refusal(content_id="<a>").field == "attachments[1].content_id"


def test_count_and_size_are_bounded() -> None:
    attach.check_sizes([limits.ATTACHMENTS_BYTES_MAX], field="attachments")
    with pytest.raises(TooLargeError):
        attach.check_sizes([limits.ATTACHMENTS_BYTES_MAX, 1], field="attachments")
    with pytest.raises(CallerError, match="at most"):
        attach.check_sizes([1] * (limits.ATTACHMENTS_COUNT_MAX + 1), field="attachments")


def test_the_lists_are_of_lower_case_words() -> None:
    assert all(word == word.lower().strip(".") for word in attach.BLOCKED_SUFFIXES | attach.BLOCKED_TYPES)
