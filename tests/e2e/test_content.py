"""Content checks on a running program with a real rspamd: what is refused, tagged, held and released, by every door."""

import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from outrider.testing.api import Api
from outrider.testing.junkfilter import GTUBE, JUNK_FIELD, PROGRAM, RunningRspamd
from outrider.testing.postgres import make_folder
from outrider.testing.program import SENDER, Program
from tests.e2e.test_relay import hand_in, session_of

pytestmark = [pytest.mark.slow, pytest.mark.needs(PROGRAM), pytest.mark.asyncio(loop_scope="module")]

RECEIPT = "Thank you for your order 1042.\n\nTwo lamps, 58.00 EUR. They leave tomorrow.\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rspamd() -> AsyncIterator[RunningRspamd]:
    """Yield a junk filter."""
    folder = make_folder()
    async with RunningRspamd.start(folder) as running:
        yield running
    shutil.rmtree(folder)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def program(shared_folder: Path, rspamd: RunningRspamd) -> AsyncIterator[Program]:
    """Yield a program in catch mode that asks it."""
    env = {"OUTRIDER_CONTENT__RSPAMD_URL": rspamd.url}
    async with Program(shared_folder / "node", env=env) as made:
        await made.start()
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(program: Program) -> Api:
    """Return a caller of /v1."""
    assert program.key is not None
    return Api(program, program.key)


def mail(**changes: Any) -> dict[str, Any]:
    return {"from": SENDER, "to": "ann@a.example", "subject": "Your order", "text": RECEIPT} | changes


async def statuses(api: Api, sent: str) -> list[tuple[str, str]]:
    return [(one["status"], one["reason"]) for one in (await api.get(f"/emails/{sent}"))["recipients"]]


async def test_gtube_is_refused_with_the_ret_code_and_a_receipt_passes(program: Program) -> None:
    refused = await program.send(["ann@a.example"], "Your order", GTUBE)
    assert (refused["RetCode"], refused["Message"]) == (215392, "Invalid parameter [Content]")
    assert "SessionNo" not in refused
    assert "score 15 of 15. Gtube pattern." in refused["Detail"]
    passed = await program.send(["ann@a.example"], "Your order", RECEIPT)
    assert (passed["RetCode"], passed["FailedTargetEmails"]) == (0, [])
    (row,) = (await program.settled(passed["SessionNo"]))["Data"]
    assert row["Status"] == "delivered"


async def test_the_native_api_says_it_with_its_own_code(api: Api) -> None:
    assert await api.refused("POST", "/emails", mail(text=GTUBE)) == (422, "content_refused", "text")
    answer = await api.post("/emails/batch", {"emails": [mail(text=GTUBE), mail()]})
    assert (answer["accepted_count"], answer["failed_count"]) == (1, 1)
    assert [one.get("error", {}).get("code") for one in answer["results"]] == ["content_refused", None]


async def test_gtube_by_smtp_is_refused_and_a_receipt_passes(program: Program) -> None:
    code, words = await hand_in(program, "ann@a.example", text=GTUBE)
    assert (code, words.startswith("5.7.1 The content looks like junk")) == (550, True)
    session = session_of(await hand_in(program, "ann@a.example", text=RECEIPT))
    (row,) = (await program.settled(session))["Data"]
    assert row["Status"] == "delivered"


async def test_what_is_tagged_by_smtp_arrives_with_its_score(api: Api, program: Program) -> None:
    sent = session_of(await hand_in(program, "ann@a.example", head=f"{JUNK_FIELD}: yes\nX-Spam-Score: -9\n"))
    await program.settled(sent)
    shown = (await api.get(f"/emails/{sent}/content"))["headers"]
    assert {name.lower(): value for name, value in shown.items()}["x-spam-score"] == "7"


async def test_what_is_tagged_arrives_with_its_score(api: Api, program: Program) -> None:
    sent = (await api.post("/emails", mail(headers={JUNK_FIELD: "yes"})))["id"]
    await program.settled(sent)
    assert await statuses(api, sent) == [("delivered", "accepted")]
    assert (await api.get(f"/emails/{sent}/content"))["headers"]["X-Spam-Score"] == "7"
    accepted = (await api.get(f"/emails/{sent}/events"))["events"][0]
    assert {name: accepted["facts"][name] for name in ("content", "cause", "score")} == {
        "content": "tag", "cause": "score", "score": 7.0
    }  # fmt: skip
    assert "HEADER_SAYS" in accepted["facts"]["symbols"]


@contextlib.asynccontextmanager
async def holding(api: Api, program: Program) -> AsyncIterator[Any]:
    """Yield the project, which holds its junk while the block runs and not after it."""
    try:
        yield await api.patch("/project", {"content": {"hold_score": 6.5}})
    finally:
        await program.command_json("content", "policy", "--hold", "default")
        await program.take_effect()


async def test_a_project_holds_its_junk_until_somebody_releases_it(api: Api, program: Program) -> None:
    junk = mail(headers={JUNK_FIELD: "yes"}, to=["ann@a.example", "bob@b.example"])
    async with holding(api, program) as shown:
        assert (shown["content"]["hold_score"], shown["content"]["own"]) == (6.5, {"hold_score": 6.5})

        async def is_held() -> Any:
            sent = (await api.post("/emails", junk))["id"]
            return sent if await statuses(api, sent) == [("held", "content")] * 2 else None

        sent = await program.until(is_held)
        assert sent in [one["id"] for one in (await api.get("/emails?status=held"))["emails"]]
        (why,) = (await api.get(f"/emails/{sent}/why"))["causes"]
        assert f"outrider queue release {sent}" in why["sentence"]
        (notice,) = [one for one in (await api.get("/notices"))["notices"] if one["kind"] == "held"]
        assert "HEADER_SAYS (A field of the header asks for it)" in notice["text"]
        assert await api.post(f"/emails/{sent}/release") == {"id": sent, "released_count": 2}
        await program.settled(sent)
        assert await statuses(api, sent) == [("delivered", "accepted")] * 2
        other = await program.until(is_held)
        done = await program.command_json("queue", "release", other, "--note", "looked at it")
        assert (done["kind"], done["recipient_count"]) == ("released", 2)
        third = await program.until(is_held)
        assert (await api.post(f"/emails/{third}/cancel"))["cancelled_count"] == 2


async def test_what_is_held_by_smtp_waits_for_its_release(api: Api, program: Program) -> None:
    async with holding(api, program):

        async def is_held() -> Any:
            sent = session_of(await hand_in(program, "held@a.example", head=f"{JUNK_FIELD}: yes\n"))
            return sent if await statuses(api, sent) == [("held", "content")] else None

        sent = await program.until(is_held)
        assert await api.post(f"/emails/{sent}/release") == {"id": sent, "released_count": 1}
        await program.settled(sent)
        assert await statuses(api, sent) == [("delivered", "accepted")]


async def test_who_may_not_manage_may_not_release(api: Api, program: Program) -> None:
    sender_only = Api(program, await api.key("send"))
    unknown = "/emails/0197a000-0000-7000-8000-00000000beef/release"
    assert (await sender_only.refused("POST", unknown))[:2] == (403, "forbidden")
    assert (await api.refused("POST", unknown))[:2] == (404, "not_found")


async def test_a_mail_can_be_judged_without_sending_it(api: Api) -> None:
    before = (await api.get("/emails"))["emails"][0]["id"]
    judged = await api.post("/content/check", mail(headers={JUNK_FIELD: "yes"}))
    assert (judged["action"], judged["cause"], judged["score"], judged["required_score"]) == ("tag", "score", 7.0, 15.0)
    assert judged["symbols"][0] == {
        "name": "HEADER_SAYS", "score": 7.0, "description": "A field of the header asks for it"
    }  # fmt: skip
    assert (await api.post("/content/check", mail(text=GTUBE)))["action"] == "refuse"
    assert (await api.post("/content/check", mail()))["action"] == "pass"
    assert (await api.refused("POST", "/content/check", mail(**{"from": "x@other.example"})))[0] == 404
    assert (await api.get("/emails"))["emails"][0]["id"] == before


async def test_files_are_judged_by_command(program: Program, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.html", tmp_path / "bad.eml"
    good.write_text("<p>Thank you for your order.</p>", "utf-8")
    bad.write_text(f"From: a@shop.example\nTo: b@b.example\nSubject: Hi\n\n{GTUBE}\n", "utf-8")
    judged = await program.command_json("content", "check", str(good), "--subject", "Your order")
    assert judged["action"] == "pass"
    finished = await program.command("content", "check", str(bad))
    assert finished.code == 65
    assert "be refused" in finished.stdout
    assert "GTUBE" in finished.stdout
    assert finished.stderr == ""
    refused = await program.command("send", "ann@a.example", "--from", SENDER, "--subject", "Hi", "--text", GTUBE)
    assert (refused.code, refused.stderr.startswith("outrider: The content looks like junk")) == (65, True)


async def test_a_policy_is_shown_and_what_is_none_is_refused(program: Program) -> None:
    shown = await program.command("content", "policy")
    assert shown.code == 0
    assert "there is one" in shown.stdout
    for arguments in (("--hold", "x"), ("--when-down", "tag"), ("--lint-errors", "off"), ("--tag", "-1")):
        assert (await program.command("content", "policy", *arguments)).code == 65, arguments


async def test_doctor_sees_the_filter(program: Program) -> None:
    report = await program.command_json("doctor", "--wait", "20")
    (check,) = [one for one in report["checks"] if one["name"] == "content.filter"]
    assert check["state"] == "ok"


async def test_numbers_tell_what_was_judged(program: Program) -> None:
    text = (await program.request("GET", "/metrics")).body.decode()
    assert 'outrider_content_checks_total{action="refuse",cause="score"}' in text
    assert "outrider_content_seconds_count" in text


async def test_a_filter_that_dies_lets_mail_pass_unseen(program: Program, rspamd: RunningRspamd, api: Api) -> None:
    """The last test of this module: nobody starts it again."""
    await rspamd.kill()
    judged = await api.post("/content/check", mail(text=GTUBE + " again"))
    assert (judged["action"], judged["cause"], judged["score"]) == ("pass", "unanswered", None)
    await program.command_json("content", "policy", "--when-down", "hold")

    async def is_held() -> Any:
        sent = (await api.post("/emails", mail(subject="Another")))["id"]
        return sent if await statuses(api, sent) == [("held", "content")] else None

    sent = await program.until(is_held)
    (event, _) = (await api.get(f"/emails/{sent}/events"))["events"]
    assert (event["facts"]["content"], event["facts"]["cause"]) == ("hold", "unanswered")
    report = await program.command("doctor", "--json")
    assert '"content.filter"' in report.stdout
