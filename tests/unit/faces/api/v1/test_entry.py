"""The guard of /v1: who calls, what its key may, what is left of its rate; each said in the answer."""

import base64

from outrider.base.errors import LimitReachedError
from outrider.base.vocab import KeyScope
from outrider.services.access import Allowance
from tests.unit.faces.conftest import KEY_ID, KEY_SECRET, ApiFace

LIST = ("GET", "/emails?limit=1")


async def test_every_form_but_the_signed_is_let_in(face: ApiFace) -> None:
    basic = base64.b64encode(f"{KEY_ID}:{KEY_SECRET}".encode()).decode()
    for headers in (
        {"authorization": f"Bearer {KEY_ID}.{KEY_SECRET}"},
        {"authorization": f"Basic {basic}"},
    ):
        assert (await face.call(*LIST, headers=headers)).status == 200
    signed = {
        "authorization": "",
        "x-access-key-id": KEY_ID,
        "x-signature": KEY_SECRET,
        "x-timestamp": "1",
        "x-nonce": "n",
    }
    refused = await face.call(*LIST, headers=signed)
    assert (refused.status, refused.json["code"]) == (401, "unauthenticated")
    assert "Bearer" in refused.json["detail"]


async def test_a_key_does_what_its_scopes_say(face: ApiFace) -> None:
    face.keys.terms[KEY_ID] = {"scopes": frozenset({KeyScope.SEND})}
    refused = await face.call(*LIST)
    assert (refused.status, refused.json["code"]) == (403, "forbidden")
    assert "'read'" in refused.json["detail"]


async def test_what_is_left_of_a_rate_is_told(face: ApiFace) -> None:
    assert not [name for name in (await face.call(*LIST)).headers if name.startswith("ratelimit")]
    face.keys.allowance = Allowance(600, 599, 41.2)
    heard = await face.call(*LIST)
    assert heard.headers["ratelimit-policy"] == '"key";q=600;w=60'
    assert heard.headers["ratelimit"] == '"key";r=599;t=42'
    assert face.keys.spent == [KEY_ID, KEY_ID]


async def test_a_key_over_its_rate_hears_when_to_come_back(face: ApiFace) -> None:
    face.keys.terms[KEY_ID] = {"rate_per_minute": 600}
    face.keys.error = LimitReachedError("Too many.", retry_after_s=12.3)
    heard = await face.call(*LIST)
    assert heard.status == 429
    assert heard.headers["retry-after"] == "13"
    assert heard.headers["ratelimit"] == '"key";r=0;t=13'


async def test_the_address_that_calls_is_handed_over(face: ApiFace) -> None:
    await face.call(*LIST)
    assert face.keys.shown[-1].client == "127.0.0.1"
