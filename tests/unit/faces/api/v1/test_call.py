"""What a call's function is told of its request."""

from typing import Any, cast
from uuid import UUID

import pytest

from outrider.faces.api.v1.call import Call
from outrider.services.access import Caller


async def nothing() -> Any:
    raise AssertionError("nobody reads")


def test_a_call_knows_whose_it_is_and_its_headers() -> None:
    scope = {"headers": [(b"accept", b"text/html"), (b"last-event-id", b"7"), (b"last-event-id", b"8")]}
    call = Call(cast("Any", scope), nothing, "request")
    assert (call.header(b"last-event-id"), call.header(b"none")) == (b"7", b"")
    with pytest.raises(AssertionError):
        _ = call.project_id
    call.caller = Caller(project_id=UUID(int=7), access_key_id="k", domains=frozenset({"shop.example"}))
    assert (call.project_id, call.domains) == (UUID(int=7), frozenset({"shop.example"}))
    other = Call(cast("Any", scope), nothing, "request")
    other.answer_headers.append((b"a", b"b"))
    assert call.answer_headers == []
