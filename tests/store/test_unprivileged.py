"""Running a program as somebody else: what it may, what it may not, and what it says when that fails."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from outrider.store import unprivileged
from outrider.store.unprivileged import Account

IS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not IS_ROOT, reason="only root can become somebody else")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="capabilities and death signals are Linux's")
NOBODY = Account(65534, 65534)
SHELL = Path("/bin/sh")


def said_by(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()


def test_who_need_not_change_runs_as_it_is() -> None:
    assert unprivileged.wrap(["/bin/true", "-x"], None) == ["/bin/true", "-x"]


@needs_root
def test_the_command_runs_as_that_user_and_no_group_of_root() -> None:
    ids = said_by(unprivileged.wrap([str(SHELL), "-c", "id -u; id -g; id -G; umask"], NOBODY)).split()
    assert ids == ["65534", "65534", "65534", "0077"]


@needs_root
@needs_linux
@pytest.mark.parametrize("is_kept", [False, True])
def test_what_is_closed_stays_closed_unless_the_right_is_kept(tmp_path: Path, is_kept: bool) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "file").write_text("words")
    rights = unprivileged.kept_capabilities(SHELL) if is_kept else ()
    command = f'cat "{closed}/file"; test -r "{closed}/file" && echo " readable"; touch "{closed}/../new" || true'
    answer = subprocess.run(
        unprivileged.wrap([str(SHELL), "-c", command], NOBODY, capabilities=rights),
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert answer.stdout.strip() == ("words readable" if is_kept else "")


@needs_linux
def test_a_program_for_its_owner_alone_takes_the_greater_right(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.touch(mode=0o700)
    assert set(unprivileged.kept_capabilities(program)) >= ({1} if IS_ROOT else set())  # CAP_DAC_OVERRIDE.
    assert IS_ROOT or unprivileged.kept_capabilities(SHELL) == ()


def test_a_missing_program_is_named() -> None:
    command = unprivileged.wrap(["/nowhere/postgres"], None, dies_with_us=True)
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert answer.returncode == unprivileged.EXIT_NOT_POSSIBLE
    assert "cannot run /nowhere/postgres" in answer.stderr


@needs_linux
def test_it_dies_with_us_when_asked_to() -> None:
    script = (
        "import subprocess, sys; from outrider.store import unprivileged as u; "
        "account = u.accounts()[0] if sys.argv[1:] else None; "
        "subprocess.Popen(u.wrap(['/bin/cat'], account, dies_with_us=True), stdin=subprocess.PIPE, stdout=1); "
        "print('up', flush=True); sys.stdin.read()"
    )
    # The end of its output means that both are gone.
    with subprocess.Popen(
        [sys.executable, "-c", script, *(["root"] if IS_ROOT else [])], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"up\n"
        starter.kill()
        assert starter.stdout.read() == b""


def test_accounts_are_known_users_and_never_root() -> None:
    assert all(account.uid != 0 for account in unprivileged.accounts())
    assert unprivileged.known_account(0) == Account(0, pwd.getpwuid(0).pw_gid)
    assert unprivileged.known_account(2**31 - 7) is None
