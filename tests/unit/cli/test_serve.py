"""What `outrider serve` says, and what it refuses before anything starts."""

import os
from pathlib import Path

import pytest

from outrider.cli import serve
from outrider.config import load
from outrider.services.accounts import KeyPair

PAIR = KeyPair("0123456789abcdef" * 2, "Sekret-_" * 6, "quickstart")


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("OUTRIDER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OUTRIDER_DATA_DIR", str(tmp_path / "node"))
    return tmp_path / "node"


@pytest.mark.parametrize("roles", [["nonsense"], ["web", "mail"]])
def test_an_unknown_role_is_refused(env: Path, capsys: pytest.CaptureFixture[str], roles: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        serve.serve(roles)
    assert caught.value.code == os.EX_CONFIG
    said = capsys.readouterr().err
    assert f"There is no role {roles[-1]!r}; there are web, smtp, deliver, worker." in said
    assert not env.exists()


def test_wrong_settings_stop_it_before_it_touches_anything(
    env: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OUTRIDER_HTTP_PORT", "many")
    with pytest.raises(SystemExit) as caught:
        serve.serve(None)
    assert caught.value.code == os.EX_CONFIG
    assert "faces.http_port" in capsys.readouterr().err
    assert not env.exists()


def test_a_data_directory_that_cannot_be_made_is_named(
    tmp_path: Path, env: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("OUTRIDER_DATA_DIR", str(tmp_path / "file" / "node"))
    with pytest.raises(SystemExit) as caught:
        serve.serve(None)
    assert caught.value.code == os.EX_CONFIG
    assert "OUTRIDER_DATA_DIR" in capsys.readouterr().err


def test_in_catch_mode_it_shows_a_call_that_works_as_pasted(tmp_path: Path) -> None:
    shown = serve._banner(load({"OUTRIDER_DATA_DIR": str(tmp_path), "OUTRIDER_HTTP_PORT": "8099"}), PAIR)
    assert "http://127.0.0.1:8099/api/v1/email/SendEmail" in shown
    assert f"echo -n '{PAIR.access_key_id}:{PAIR.access_key_secret}' | base64 -w0" in shown
    assert "nothing leaves this machine" in shown
    assert "http://127.0.0.1:8099/mailbox" in shown
    assert "smtplib.SMTP('127.0.0.1', 2587)" in shown
    assert f"s.login('{PAIR.access_key_id}', '{PAIR.access_key_secret}')" in shown


@pytest.mark.parametrize(
    ("delivery", "word"), [("direct", "direct"), ("smarthost://user:hunter2@mx.example:587", "mx.example:587")]
)
def test_otherwise_it_says_the_way_out_and_no_password(tmp_path: Path, delivery: str, word: str) -> None:
    shown = serve._banner(load({"OUTRIDER_DATA_DIR": str(tmp_path), "OUTRIDER_DELIVERY": delivery}), None)
    assert word in shown
    assert "hunter2" not in shown
    assert "curl" not in shown
    assert "port 2587 (STARTTLS) or 2465 (TLS)" in shown
