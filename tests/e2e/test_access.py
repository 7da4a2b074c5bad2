"""Keys over real processes: what is revoked, over its limit, expired or changed is refused by every worker in a second.

Each call comes over a connection of its own, and the kernel deals those to the workers: that one of three gets none of
forty happens once in ten million runs.
"""

import asyncio
import re
import shutil
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import pytest
import pytest_asyncio
from uspeedo.core.auth import Credential

from outrider.faces.api.v1 import table
from outrider.testing.clock import RealClock
from outrider.testing.postgres import make_folder
from outrider.testing.program import Answered, Key, Program
from tests.unit.faces.conftest import ApiFace

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

SEND, STATUS = "/api/v1/email/SendEmail", "/api/v1/email/SendStatus?SessionNo=3b6c8a0e-4d1f-4a53-9b0f-2f6f0f0c7a11"
MAIL: Final[Mapping[str, Any]] = {
    "SendEmail": "noreply@shop.example",
    "TargetEmailAddress": ["user@partner.example"],
    "Subject": "Hi",
    "Content": "Hello",
}
CALLS: Final = 40
WORKERS: Final = 3


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def program() -> AsyncIterator[Program]:
    """Yield a program whose web role has three workers."""
    folder = make_folder()
    env = {"OUTRIDER_FACES__WEB_WORKERS": str(WORKERS), "OUTRIDER_FACES__TRUSTED_PROXIES": '["127.0.0.0/8"]'}
    async with Program(folder / "node", env=env) as one:
        await one.start()
        yield one
    shutil.rmtree(folder)


async def make_key(program: Program, *options: str) -> Key:
    return msgspec.convert(await program.command_json("key", "create", *options), Key)


def bearer(key: Key) -> dict[str, str]:
    return {"Authorization": f"Bearer {key.access_key_id}.{key.access_key_secret}"}


async def codes(program: Program, headers: Mapping[str, str], count: int = CALLS) -> set[int]:
    """Return the RetCodes of so many calls at once that are about no mail."""
    answers = await asyncio.gather(*(program.request("GET", STATUS, headers=headers) for _ in range(count)))
    return {answer.json()["RetCode"] for answer in answers}


UNKNOWN_SESSION, UNAUTHENTICATED, SIGNATURE, TIMESTAMP, TOKEN, LIMIT = 215396, 215393, 215394, 215395, 215399, 215400


async def a_second_since(started_s: float) -> None:
    await RealClock().sleep(max(0.0, 1.0 - (RealClock().monotonic_s() - started_s)))


def native_calls() -> Sequence[tuple[str, str]]:
    """Return method and path of every call of /v1, from its table."""
    face = ApiFace()
    some_id = "0197a000-0000-7000-8000-00000000beef"
    return [
        (route.method, "/v1" + re.sub(r"\{\w+\}", some_id, route.path.replace("{number}", "1")))
        for route in table.routes(face.ports())
        if route.scope is not None
    ]


async def test_a_revoked_key_and_its_tokens_are_refused_by_all_in_a_second(program: Program) -> None:
    key = await make_key(program, "--name", "lost")
    token = await program.command_json("key", "token", key.access_key_id, "--life", "1h", "--scope", "read")
    forms = [bearer(key), {"X-AccessToken": token["token"]}]
    for form in forms:
        assert await codes(program, form) == {UNKNOWN_SESSION}
    await program.command_json("key", "revoke", key.access_key_id)
    started_s = RealClock().monotonic_s()  # The command says so after its commit.
    await a_second_since(started_s)
    assert await codes(program, forms[0]) == {UNAUTHENTICATED}
    assert await codes(program, forms[1]) == {TOKEN}
    for method, path in native_calls():
        calls = (program.request(method, path, b"{}", headers=bearer(key)) for _ in range(CALLS // 2))
        assert {answer.status for answer in await asyncio.gather(*calls)} == {401}, (method, path)


async def test_changed_scopes_count_with_all_in_a_second(program: Program) -> None:
    key = await make_key(program)
    assert await codes(program, bearer(key)) == {UNKNOWN_SESSION}
    await program.command_json("key", "change", key.access_key_id, "--scope", "send")
    started_s = RealClock().monotonic_s()
    await a_second_since(started_s)
    assert await codes(program, bearer(key)) == {UNAUTHENTICATED}
    answered = await program.request("POST", SEND, MAIL, headers=bearer(key))
    assert answered.json()["RetCode"] == 0


async def test_an_expired_key_is_refused_by_all(program: Program) -> None:
    key = await make_key(program, "--expires", "4s")
    assert await codes(program, bearer(key)) == {UNKNOWN_SESSION}
    await RealClock().sleep(4.0)
    assert await codes(program, bearer(key)) == {UNAUTHENTICATED}


async def test_a_key_over_its_limit_is_refused_by_all_in_a_second(program: Program) -> None:
    key = await make_key(program, "--rate", "30")
    if time.time() % 60 > 45:
        await RealClock().sleep(60 - time.time() % 60)
    first = await asyncio.gather(*(program.request("GET", STATUS, headers=bearer(key)) for _ in range(CALLS)))
    started_s = RealClock().monotonic_s()
    passed = sum(answer.status != 429 for answer in first)
    assert 30 <= passed <= CALLS
    await a_second_since(started_s)
    assert await codes(program, bearer(key)) == {LIMIT}
    over = await program.request("GET", STATUS, headers=bearer(key))
    assert over.status == 429
    assert 1 <= int(over.headers["retry-after"]) <= 60
    assert await codes(program, bearer(await make_key(program, "--rate", "0"))) == {UNKNOWN_SESSION}


async def test_a_key_is_of_one_project_and_some_addresses_and_domains(program: Program) -> None:
    other = await make_key(program, "--project", "other")
    answered = await program.request("POST", SEND, MAIL, headers=bearer(other))
    assert answered.json()["Message"] == "NotFound parameter [SendEmail]"
    key = await make_key(program, "--ip", "192.0.2.0/24", "--domain", "other.example")
    assert await codes(program, bearer(key)) == {UNAUTHENTICATED}
    assert await codes(program, bearer(key) | {"X-Forwarded-For": "192.0.2.9"}) == {UNKNOWN_SESSION}
    headers = bearer(key) | {"X-Forwarded-For": "198.51.100.1, 192.0.2.9"}
    assert (await program.request("POST", SEND, MAIL, headers=headers)).json()["RetCode"] == UNAUTHENTICATED
    await program.command_json("key", "change", key.access_key_id, "--ip", "any", "--domain", "shop.example")
    started_s = RealClock().monotonic_s()
    await a_second_since(started_s)
    assert (await program.request("POST", SEND, MAIL, headers=bearer(key))).json()["RetCode"] == 0


def signed(key: Key, nonce: str, at_s: int) -> dict[str, str]:
    return {
        "X-Access-Key-Id": key.access_key_id,
        "X-Signature": Credential(key.access_key_id, key.access_key_secret).verify_ac(dict(MAIL)),
        "X-Timestamp": str(at_s),
        "X-Nonce": nonce,
    }


async def test_a_signed_call_counts_once_over_workers_and_restarts(program: Program) -> None:
    key = await make_key(program)
    now_s = int(time.time())

    async def send(headers: Mapping[str, str]) -> Answered:
        return await program.request("POST", SEND, MAIL, headers=headers)

    answers = await asyncio.gather(*(send(signed(key, "once", now_s)) for _ in range(CALLS)))
    assert sorted(answer.json()["RetCode"] for answer in answers) == [0] + [SIGNATURE] * (CALLS - 1)
    assert (await send(signed(key, "twice", now_s))).json()["RetCode"] == 0
    assert (await send(signed(key, "third", now_s - 400))).json()["RetCode"] == TIMESTAMP
    assert (await send(signed(key, "fourth", now_s) | {"X-Signature": "0" * 40})).json()["RetCode"] == SIGNATURE
    await program.stop()
    await program.serve()
    await program.ready()
    again = await asyncio.gather(*(send(signed(key, "once", now_s)) for _ in range(CALLS // 4)))
    assert {answer.json()["RetCode"] for answer in again} == {SIGNATURE}
    assert (await send(signed(key, "fifth", now_s))).json()["RetCode"] == 0


async def test_a_quota_counts_for_the_whole_project(program: Program) -> None:
    key = await make_key(program, "--project", "small")
    for arguments in (("domain", "add", "small.example", "--verified"), ("sender", "add", "a@small.example")):
        await program.command_json(*arguments, "--project", "small")
    quota = await program.command_json("project", "quota", "--day", "5", "--project", "small")
    assert quota == {"day": 5, "day_used": 0, "month": None, "month_used": 0}
    started_s = RealClock().monotonic_s()
    await a_second_since(started_s)
    mail = dict(MAIL) | {"SendEmail": "a@small.example"}
    calls = (program.request("POST", SEND, mail, headers=bearer(key)) for _ in range(CALLS))
    answers = await asyncio.gather(*calls)
    assert sum(answer.json()["RetCode"] == 0 for answer in answers) == 5
    refused = [answer for answer in answers if answer.status == 429]
    assert len(refused) == CALLS - 5
    assert "quota is 5 recipients a day; 0 are left" in refused[0].json()["Detail"]
    assert 1 <= int(refused[0].headers["retry-after"]) <= 86400
    assert "day_used:" in (await program.command("project", "quota", "--project", "small")).stdout
    quota = await program.command_json("project", "quota", "--day", "none", "--month", "9", "--project", "small")
    assert quota == {"day": None, "day_used": 5, "month": 9, "month_used": 5}


async def test_the_list_says_what_keys_may_and_when_they_were_used(program: Program) -> None:
    key = await make_key(program, "--name", "shown", "--scope", "read", "--ip", "127.0.0.1", "--rate", "60")
    await codes(program, bearer(key), 1)

    async def is_noted() -> bool:
        rows = {row["access_key_id"]: row for row in await program.command_json("key", "list")}
        row = rows[key.access_key_id]
        assert (row["scopes"], row["ip_ranges"], row["rate_per_minute"]) == (["read"], ["127.0.0.1/32"], 60)
        return row["last_used_at"] is not None

    await program.until(is_noted)
    shown = await program.command("key", "list")
    assert (shown.code, "LAST" in shown.stdout) == (0, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("key", "create", "--ip", "300.0.0.1"),
        ("key", "create", "--domain", "no dots"),
        ("key", "create", "--expires", "yesterday"),
        ("key", "create", "--expires", "2020-01-01"),
        ("key", "create", "--rate", "-1"),
        ("key", "create", "--rate", "many"),
        ("key", "token", "0" * 32),
        ("key", "token", "0" * 32, "--life", "soon"),
        ("key", "change", "0" * 32, "--rate", "1"),
        ("project", "quota", "--day", "-5"),
        ("project", "quota", "--month", "lots"),
    ],
)
async def test_what_makes_no_sense_is_told_in_a_sentence(program: Program, arguments: Sequence[str]) -> None:
    told = await program.command(*arguments)
    assert (told.code, told.stdout) == (65, "")
    assert told.stderr.startswith("outrider: ")
    assert len(told.stderr.splitlines()) == 1
