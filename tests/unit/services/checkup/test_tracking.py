"""The certificates of tracking hosts: each has one, which can be used and lasts."""

from pathlib import Path

from outrider.net.selfsigned import SelfSigned
from outrider.policy.checkup import Check, CheckState
from outrider.services.checkup import run
from outrider.services.checkup.tracking import TrackingCheckup
from outrider.testing.clock import FakeClock

WARN, FAIL = CheckState.WARN, CheckState.FAIL


async def looked(folder: Path | None, *hosts: str) -> list[Check]:
    return await run.run(TrackingCheckup(folder, hosts, clock=FakeClock()).probes(), wait_s=10)


def put(folder: Path, name: str, **terms: int) -> None:
    made = SelfSigned(name, **terms)
    (folder / f"{name}.crt").write_text(made.pem)
    (folder / f"{name}.key").write_text(made.key_and_pem)


async def test_each_host_is_judged_by_its_own_certificate(tmp_path: Path) -> None:
    put(tmp_path, "t.one.example")
    put(tmp_path, "*.two.example", until_year=2021)
    found = {one.subject: one for one in await looked(tmp_path, "t.one.example", "t.two.example", "t.three.example")}
    assert (found["t.one.example"].state, "signed by itself" in found["t.one.example"].seen) == (WARN, True)
    assert (found["t.two.example"].state, "it ended on" in found["t.two.example"].seen) == (FAIL, True)
    assert (found["t.three.example"].state, "no certificate" in found["t.three.example"].seen) == (FAIL, True)


async def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    put(tmp_path, "t.one.example")
    (tmp_path / "t.one.example.key").write_text("nonsense")
    broken, lacking = await looked(tmp_path, "t.one.example")
    assert (broken.state, "t.one.example cannot be used" in broken.seen) == (FAIL, True)
    assert (lacking.state, lacking.subject) == (FAIL, "t.one.example")


async def test_without_a_folder_there_is_nothing_a_browser_trusts(tmp_path: Path) -> None:
    (none,) = await looked(None, "t.one.example")
    (gone,) = await looked(tmp_path / "gone", "t.one.example")
    assert (none.state, gone.state) == (WARN, FAIL)
