"""Whatever is sent to SendEmail, the answer is an envelope with a RetCode, never a failure of ours."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from outrider.testing.web import ask
from tests.unit.faces.conftest import GOOD, ApiFace, basic

NAMES = st.sampled_from([*GOOD, "SenderEmail", "AccountId", "Action", "x"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(list(GOOD.values())),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=10,
)
BODIES = (
    st.binary(max_size=300)
    | st.dictionaries(NAMES, VALUES, max_size=8).map(lambda fields: json.dumps({**GOOD, **fields}).encode())
    | VALUES.map(lambda value: json.dumps(value).encode())
    | st.builds(
        lambda at, octets: (whole := json.dumps(dict(GOOD)).encode())[: at % len(whole)] + octets + whole[at:],
        st.integers(0, 300),
        st.binary(max_size=8),
    )
)


def assert_answered(heard: Any) -> None:
    assert heard.status == 200
    answer = heard.json
    assert type(answer["RetCode"]) is int
    assert answer["RetCode"] != 215400
    assert heard.headers["x-speedo-request-uuid"] == answer["RequestUuid"]
    assert (answer["RetCode"] == 0) == ("SessionNo" in answer)
    assert (answer["RetCode"] == 0) != ("Detail" in answer)


@given(BODIES)
async def test_any_body_is_answered(body: bytes) -> None:
    face = ApiFace()
    heard = await face.send_email(body)
    assert_answered(heard)
    assert len(face.engine.calls) == (heard.json["RetCode"] == 0)


@given(st.text(st.characters(codec="latin-1", exclude_characters="\r\n\x00"), max_size=120), st.binary(max_size=60))
async def test_any_header_and_query_is_answered(header: str, query: bytes) -> None:
    face = ApiFace()
    target = "/api/v1/email/SendStatus?SessionNo=" + "".join(f"%{octet:02x}" for octet in query)
    for method, path in (("POST", "/api/v1/email/SendEmail"), ("GET", target)):
        headers = {"authorization": header, "idempotency-key": header}
        assert (await ask(face.app, method, path, headers=headers)).json["RetCode"] == 215393
        assert_answered(await ask(face.app, method, path, headers={**headers, "authorization": basic()}))
