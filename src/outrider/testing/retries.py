"""A storm of retries: the same calls of /v1/emails again and again, at random, from many connections at once.

What must come of it: one mail for each idempotency key, and one answer, octet for octet, for all who asked with it.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from time import perf_counter
from typing import Any, Final

import aiohttp
import msgspec

_CALL_S: Final = 60.0
_PAGE_COUNT: Final = 100


class Storm(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    calls: int
    keys: int
    statuses: Mapping[int, int]
    answers: int  # Different ones, over all keys.
    torn_keys: int  # With more than one answer.
    firsts: int  # Answers without Idempotency-Replayed.
    mails: int  # That are there now.
    elapsed_s: float


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls, and where."""

    url: str
    bearer: str  # ID.SECRET
    sender: str


async def storm(caller: Caller, *, keys: int, calls: int, connections: int, seed: int = 6) -> Storm:
    """Make the calls; each of the keys comes at least once. Raises TimeoutError: a call was not answered."""
    chance = random.Random(seed)
    tag = f"storm-{seed}-{chance.getrandbits(48):x}"
    order = list(range(keys)) + [chance.randrange(keys) for _ in range(calls - keys)]
    chance.shuffle(order)
    todo = iter(order)
    heard: dict[int, set[bytes]] = {}
    statuses: Counter[int] = Counter()
    firsts: list[int] = []
    timeout = aiohttp.ClientTimeout(total=_CALL_S)
    headers = {"Authorization": f"Bearer {caller.bearer}"}
    started_s = perf_counter()
    async with aiohttp.ClientSession(
        caller.url, headers=headers, timeout=timeout, connector=aiohttp.TCPConnector(limit=connections)
    ) as session:

        async def work(todo: Iterator[int]) -> None:
            for number in todo:
                body = _body(caller.sender, number, tag)
                async with session.post(
                    "/v1/emails", data=body, headers={"Idempotency-Key": f"{tag}-{number}"}
                ) as answer:
                    heard.setdefault(number, set()).add(await answer.read())
                    statuses[answer.status] += 1
                    if "Idempotency-Replayed" not in answer.headers:
                        firsts.append(number)

        async with asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(work(todo))
        elapsed_s = perf_counter() - started_s
        mails = await _count(session, tag)
    return Storm(
        calls=calls,
        keys=keys,
        statuses=statuses,
        answers=len(set().union(*heard.values())),
        torn_keys=sum(len(answers) > 1 for answers in heard.values()),
        firsts=len(firsts),
        mails=mails,
        elapsed_s=elapsed_s,
    )


def _body(sender: str, number: int, tag: str) -> bytes:
    """Return the call's body: always the same for a number."""
    content: Mapping[str, Any] = {
        "from": sender,
        "to": f"u{number:08d}@route{number % 10}.example",
        "subject": f"Order {number}",
        "text": "Thank you for your order.",
        "tags": [tag],
    }
    return msgspec.json.encode(content)


async def _count(session: aiohttp.ClientSession, tag: str) -> int:
    """Return how many mails have the tag."""
    count, after = 0, ""
    while True:
        query = {"tag": tag, "limit": str(_PAGE_COUNT)} | ({"after": after} if after else {})
        async with session.get("/v1/emails", params=query) as answer:
            page = msgspec.json.decode(await answer.read())
        count += len(page["emails"])
        if not page["next"]:
            return count
        after = page["next"]
