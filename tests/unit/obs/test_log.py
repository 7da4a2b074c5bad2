"""One line an event: JSON for machines, words for people, and no secret in either."""

import io
import json
import logging
from typing import Any, Literal

import pytest

from outrider.obs.log import MASK, Logger, make_logger, redact
from outrider.obs.settings import LogSettings

SECRET = "hunter2"


class Terminal(io.StringIO):
    """A stream that people watch."""

    def isatty(self) -> bool:
        return True


def logger_on(stream: io.StringIO, form: Literal["auto", "json", "console"] = "auto") -> Logger:
    return make_logger(LogSettings(format=form), "deliver", stream)


def test_an_event_is_one_line_of_json() -> None:
    stream = io.StringIO()
    log = logger_on(stream)
    log.info("recipient_settled", reply="250 ok\r\nBcc: \x1b[31m\u2028", count=3)
    log.bind(slot=1).warning("lease_lost")
    first, second = [json.loads(line) for line in stream.getvalue().splitlines()]
    at = first.pop("at")
    assert at.endswith("Z")
    assert first == {
        "event": "recipient_settled",
        "level": "info",
        "role": "deliver",
        "reply": "250 ok\r\nBcc: \x1b[31m\u2028",
        "count": 3,
    }
    assert (second["event"], second["level"], second["slot"]) == ("lease_lost", "warning", 1)


def test_what_is_strange_is_still_a_line() -> None:
    stream = io.StringIO()
    logger_on(stream).info("odd", error=ValueError("x"), octets=b"\xff", half="\ud800", kind=Literal)
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["event"] == "odd"


@pytest.mark.parametrize(
    "key",
    [
        *("password", "Authorization", "access_key_secret", "private_key_pem", "master_key", "api_token"),
        *("content", "body", "smtp_password", "SECRET"),
    ],
)
def test_a_key_that_names_a_secret_is_masked(key: str) -> None:
    assert redact(None, "", {key: SECRET, "other": 1}) == {key: MASK, "other": 1}


@pytest.mark.parametrize("key", ["content_bytes", "token_count", "access_key_id", "reply", "subject"])
def test_sizes_counts_and_names_of_secrets_are_none(key: str) -> None:
    assert redact(None, "", {key: "7"}) == {key: "7"}


def test_a_secret_inside_a_mapping_is_masked_too() -> None:
    given: dict[str, Any] = {"headers": {"Authorization": SECRET, "Host": "a", "more": {"password": SECRET}}}
    assert redact(None, "", given) == {"headers": {"Authorization": MASK, "Host": "a", "more": {"password": MASK}}}


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_secret_reaches_the_stream(form: Literal["json", "console"]) -> None:
    stream = Terminal()
    logger_on(stream, form).bind(password=SECRET).error("refused", token=SECRET, detail={"secret": SECRET})
    assert "refused" in stream.getvalue()
    assert SECRET not in stream.getvalue()


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_code_and_no_variables(form: Literal["json", "console"]) -> None:
    stream = Terminal()
    log = logger_on(stream, form)

    def fail(password: str) -> None:
        body = password.encode()
        raise ValueError(f"broken {len(body)}")

    try:
        fail("-".join(["hunter", "2"]))
    except ValueError:
        log.exception("attempt_failed")
    written = stream.getvalue()
    assert "broken 8" in written
    assert "in fail" in written
    assert "hunter-2" not in written
    assert (len(written.splitlines()) == 1) == (form == "json")


def test_people_get_colours_and_files_get_none() -> None:
    terminal, file = Terminal(), io.StringIO()
    logger_on(terminal).info("started")
    assert "\x1b[" in terminal.getvalue()
    logger_on(file, "console").info("started", reply="a\nb\x1b[31m")
    assert "\x1b[" not in file.getvalue()
    assert len(file.getvalue().splitlines()) == 1


@pytest.mark.parametrize(("level", "shown"), [("debug", 3), ("info", 2), ("warning", 1), ("error", 0)])
def test_what_is_below_the_level_is_not_worth_a_line(
    level: Literal["debug", "info", "warning", "error"], shown: int
) -> None:
    stream = io.StringIO()
    log = make_logger(LogSettings(level=level, format="json"), "web", stream)
    log.debug("a")
    log.info("b")
    log.warning("c")
    assert len(stream.getvalue().splitlines()) == shown


def test_strangers_do_not_write_our_log() -> None:
    logger_on(io.StringIO())
    assert not logging.getLogger("mail.log").isEnabledFor(logging.WARNING)
