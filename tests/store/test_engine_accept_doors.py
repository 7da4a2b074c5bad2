"""Refusals as each API tells them: what was refused is not kept under a key, and who is harmed by a bad address."""

from typing import Any

import pytest

from outrider.base.vocab import SuppressionOrigin, SuppressionScope
from outrider.faces.api.app import make_app
from outrider.store import suppressions
from outrider.store.pool import Store
from outrider.store.suppressions import Suppression
from outrider.testing.clock import FakeClock
from outrider.testing.engine import KeyRing
from outrider.testing.engineroom import PROJECT, SENDER, EngineRoom, counts
from outrider.testing.templates import templated
from outrider.testing.web import Heard
from tests.unit.faces.conftest import KEY_ID, KEY_SECRET, ApiFace

pytestmark = pytest.mark.newest

ANN = "ann@a.example"
KEYED = {"idempotency-key": "order-1042"}


@pytest.fixture
def face(room: EngineRoom) -> ApiFace:
    """A face on the real engine."""
    made = ApiFace()
    made.keys = KeyRing({(KEY_ID, KEY_SECRET): PROJECT})
    made.published.known[PROJECT, "Welcome"] = templated()
    made.app = make_app(made.ports(accept=room.accept, first_answer=room.accept.first_answer))
    return made


@pytest.fixture
async def suppressed(store: Store, clock: FakeClock) -> None:
    entry = Suppression(
        project_id=PROJECT,
        address_key=ANN,
        scope=SuppressionScope.ALL,
        subject="",
        reason="unsubscribe",
        origin=SuppressionOrigin.OPERATOR,
        created_at=clock.now(),
    )
    async with store.transaction() as tx:
        await suppressions.put(tx, [entry])


async def lift(store: Store, clock: FakeClock) -> None:
    async with store.transaction() as tx:
        await suppressions.remove(tx, PROJECT, [ANN], why="she asked", now=clock.now())


async def send(face: ApiFace, dialect: str) -> Heard:
    content = {"SendEmail": SENDER, "Subject": "Hello", "Content": "Hello"}
    if dialect == "v1":
        return await face.call("POST", "/emails", {"from": SENDER, "to": ANN, "subject": "Hello", "text": "x"}, KEYED)
    if dialect == "SendEmail":
        return await face.send_email({**content, "TargetEmailAddress": [ANN]}, KEYED)
    target = {"EmailAddress": ANN, "TemplateVariableParams": ["name{##}Ann", "code{##}1"]}
    given = {"SendEmail": SENDER, "TemplateId": "Welcome", "EmailContent": [target]}
    good = {"authorization": f"Bearer {KEY_ID}.{KEY_SECRET}", **KEYED}
    if dialect == "SendEmailTemplate":
        return await face.rest("POST", "SendEmailTemplate", given, good)
    return await face.act({**content, "Action": "SendEmail", "TargetEmailAddress": [ANN]}, headers=good)


@pytest.mark.usefixtures("suppressed")
@pytest.mark.parametrize("dialect", ["v1", "SendEmail", "SendEmailTemplate", "Action"])
async def test_a_call_that_nobody_could_get_may_be_made_again_under_its_key(
    face: ApiFace, store: Store, clock: FakeClock, dialect: str
) -> None:
    refused = await send(face, dialect)
    assert "recipient suppressed" in refused.text
    assert refused.json.get("SessionNo", refused.json.get("id")) is None
    await lift(store, clock)
    accepted, repeated = await send(face, dialect), await send(face, dialect)
    session = accepted.json.get("SessionNo") or accepted.json["id"]
    assert (repeated.json.get("SessionNo") or repeated.json["id"]) == session


@pytest.mark.parametrize(
    ("more", "rejected"),
    [
        ({"to": [ANN, "nope"], "separate": True}, ["nope"]),
        ({"to": ANN, "bcc": ["nope"]}, ["nope"]),
        ({"to": [ANN, "nope"]}, None),
        ({"to": [ANN, "Bob <nope>"], "separate": True}, None),
    ],
)
async def test_a_bad_address_refuses_the_mail_only_where_others_would_read_it_or_it_has_a_name(
    face: ApiFace, store: Store, more: dict[str, Any], rejected: list[str] | None
) -> None:
    heard = await face.call("POST", "/emails", {"from": SENDER, "subject": "Hello", "text": "x"} | more)
    if rejected is None:
        assert (heard.status, heard.json["field"]) == (400, "to[1]")
    else:
        assert [one["address"] for one in heard.json["rejected"]] == rejected
    assert (await counts(store))["recipient"] == (rejected is not None)
