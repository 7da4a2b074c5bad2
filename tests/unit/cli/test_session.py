"""An error of ours becomes one sentence and an exit code of sysexits.h."""

import os

import pytest

from outrider.base.errors import (
    BusyError,
    CallerError,
    ConfigError,
    NotFoundError,
    OutriderError,
    StoreCorruptError,
    StoreUnavailableError,
)
from outrider.cli import session


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("No."), os.EX_CONFIG),
        (CallerError("No."), os.EX_DATAERR),
        (NotFoundError("No."), os.EX_DATAERR),
        (StoreUnavailableError("No."), os.EX_UNAVAILABLE),
        (StoreCorruptError("No."), os.EX_UNAVAILABLE),
        (BusyError("No."), os.EX_SOFTWARE),
        (OutriderError("No."), os.EX_SOFTWARE),
    ],
)
def test_each_error_has_its_exit_code(capsys: pytest.CaptureFixture[str], error: OutriderError, code: int) -> None:
    with pytest.raises(SystemExit) as caught:
        session.fail(error)
    assert caught.value.code == code
    assert capsys.readouterr() == ("", "outrider: No.\n")


def test_a_place_in_a_list_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        session.fail(CallerError("No.", field="tags[1]"))
    assert capsys.readouterr().err == "outrider: tags[1]: No.\n"


@pytest.mark.parametrize("name", ["cause", "log"])
def test_an_operator_reads_the_cause_too(capsys: pytest.CaptureFixture[str], name: str) -> None:
    with pytest.raises(SystemExit):
        session.fail(StoreUnavailableError("The database is not available.", **{name: "could not connect", "other": 1}))
    assert capsys.readouterr().err == "outrider: The database is not available.\n  could not connect\n"


def test_wrong_settings_end_the_program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("OUTRIDER_DELIVRY", "direct")
    with pytest.raises(SystemExit) as caught:
        session.settings()
    assert caught.value.code == os.EX_CONFIG
    assert "Did you mean 'delivery'?" in capsys.readouterr().err


def test_a_command_whose_settings_are_wrong_does_not_begin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def work(_: object) -> None:
        pytest.fail("it began")

    monkeypatch.setenv("OUTRIDER_ENGINE__LEASE_S", "soon")
    with pytest.raises(SystemExit) as caught:
        session.run(work)
    assert caught.value.code == os.EX_CONFIG
    assert "engine.lease_s" in capsys.readouterr().err


def test_a_session_is_named_by_its_id() -> None:
    assert session.parse_session("3b6c8a0e-4d1f-4a53-9b0f-2f6f0f0c7a11").hex == "3b6c8a0e4d1f4a539b0f2f6f0f0c7a11"
    with pytest.raises(CallerError, match="SessionNo") as caught:
        session.parse_session("9" * 5000)
    assert caught.value.field == "session"
