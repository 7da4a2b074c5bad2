"""Idempotency keys over the running program: two web processes, one database, the same calls again and again.

The whole storm, 50,000 calls over 5,000 keys, is `python -m bench retries`.
"""

import asyncio
from typing import Any

import pytest

from outrider.testing.program import Answered, Program
from outrider.testing.retries import Caller, storm

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


def bearer(program: Program) -> dict[str, str]:
    assert program.key is not None
    return {"Authorization": f"Bearer {program.key.access_key_id}.{program.key.access_key_secret}"}


async def batch(program: Program, mails: list[Any], key: str) -> Answered:
    return await program.request(
        "POST", "/v1/emails/batch", {"emails": mails}, headers=bearer(program) | {"Idempotency-Key": key}
    )


async def test_a_storm_of_retries_sends_each_mail_once(caught: Program) -> None:
    assert caught.key is not None
    caller = Caller(
        url=caught.url, bearer=f"{caught.key.access_key_id}.{caught.key.access_key_secret}", sender=caught.sender
    )
    found = await storm(caller, keys=150, calls=1_500, connections=24)
    assert found.statuses == {202: 1_500}
    assert (found.mails, found.answers, found.torn_keys, found.firsts) == (150, 150, 0, 150)


async def test_a_batch_sent_by_many_at_once_is_sent_once(caught: Program) -> None:
    mails = [
        {"from": caught.sender, "to": f"b{n}@batch.example", "subject": "Batch", "text": "Hi", "tags": ["at-once"]}
        for n in range(20)
    ]
    mails.insert(5, {"from": caught.sender, "to": "nobody", "subject": "Batch", "text": "Hi", "tags": ["at-once"]})
    answers = await asyncio.gather(*(batch(caught, mails, "batch-at-once") for _ in range(12)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    body = answers[0].json()
    assert (body["accepted_count"], body["failed_count"]) == (20, 1)
    assert body["results"][5]["error"]["field"] == "to[0]"
    listed = await caught.request("GET", "/v1/emails?tag=at-once&limit=100", headers=bearer(caught))
    assert sorted(one["id"] for one in listed.json()["emails"]) == sorted(
        one["id"] for one in body["results"] if "id" in one
    )
    again = await batch(caught, mails, "batch-at-once")
    assert (again.body, again.headers["idempotency-replayed"]) == (answers[0].body, "true")
    assert (await batch(caught, mails[1:], "batch-at-once")).status == 409
    single = await caught.request(
        "POST", "/v1/emails", mails[0], headers=bearer(caught) | {"Idempotency-Key": "batch-at-once"}
    )
    assert single.status == 409
