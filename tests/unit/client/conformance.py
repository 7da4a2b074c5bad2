"""What both clients do against a server that behaves, and one that does not. Each runs it over real sockets."""

import json
import random
import ssl
import time
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import pytest

from outrider.client import (
    AnswerTimeoutError,
    AnswerUnreadableError,
    Attachment,
    BadRequestError,
    ClientError,
    ConflictError,
    Event,
    ForbiddenError,
    LimitReachedError,
    Mail,
    NoAnswerError,
    NotFoundError,
    Patience,
    ProblemError,
    ServerError,
    TooLargeError,
    UnauthenticatedError,
)
from outrider.net.selfsigned import SelfSigned
from outrider.testing.http_peer import HttpPeer, answer, drip, hang, say
from outrider.testing.program import free_ports

KEY = "AK-TEST.s3cr3t-of-the-test"
MAIL = Mail(sender="noreply@shop.example", to=["ann@partner.example"], subject="Hello", text="Hi.")
ACCEPTED = json.dumps({"id": "019ef2a4-0000-7000-8000-000000000001", "accepted_count": 1, "rejected": []}).encode()
OK = answer(202, ACCEPTED)
HEAD = b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\n"
QUICK = Patience(try_s=0.3, connect_s=0.3, total_s=60.0, silence_s=0.3)


class Hurried:
    """A clock whose pauses are over at once, and are written down; what a server takes really passes."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def monotonic_s(self) -> float:
        return time.perf_counter() + sum(self.pauses)


class Suite:
    """The promises. `get` carries a call out on it, `go` collects what a list or stream gives."""

    @abstractmethod
    def get(self, url: str, call: Callable[[Any], Any], **options: Any) -> tuple[Any, list[float]]:
        """Return what `call(client)` gives, and the pauses that were made."""

    @abstractmethod
    def go(self, url: str, call: Callable[[Any], Any], count_max: int, **options: Any) -> tuple[list[Any], list[float]]:
        """Return the first that `call(client)` yields, and the pauses."""

    def fails(self, url: str, call: Callable[[Any], Any], **options: Any) -> ClientError:
        with pytest.raises(ClientError) as caught:
            self.get(url, call, **options)
        assert "s3cr3t" not in f"{caught.value!r} {caught.value}"
        return caught.value

    def test_a_mail_goes_out_as_the_api_wants_it(self) -> None:
        mail = Mail(
            sender="Shop <noreply@shop.example>",
            to=["ann@partner.example", "Bo Å <bo@partner.example>"],
            subject="Grüße",
            html="<p>Hi",
            cc="cc@partner.example",
            attachments=[Attachment(name="a.bin", content=b"\0\xff")],
            headers={"X-Shop": "1"},
            list_name="news",
        )
        with HttpPeer([OK]) as peer:
            accepted, _ = self.get(peer.url, lambda client: client.send(mail))
        (heard,) = peer.heard
        assert (accepted.id, accepted.accepted_count) == ("019ef2a4-0000-7000-8000-000000000001", 1)
        assert (heard.method, heard.target) == ("POST", "/v1/emails")
        assert heard.headers["authorization"] == f"Bearer {KEY}"
        assert heard.headers["content-type"] == "application/json"
        assert len(heard.headers["idempotency-key"]) == 32
        assert json.loads(heard.body) == {
            "from": "Shop <noreply@shop.example>",
            "to": ["ann@partner.example", "Bo Å <bo@partner.example>"],
            "subject": "Grüße",
            "html": "<p>Hi",
            "cc": "cc@partner.example",
            "attachments": [{"name": "a.bin", "content": "AP8="}],
            "headers": {"X-Shop": "1"},
            "list": "news",
        }

    def test_tries_of_one_call_have_one_key_and_two_calls_have_two(self) -> None:
        with HttpPeer([answer(503), answer(502, b"<html>", media_type="text/html"), OK]) as peer:
            _, pauses = self.get(peer.url, lambda client: [client.send(MAIL) for _ in range(2)])
        keys = [heard.headers["idempotency-key"] for heard in peer.heard]
        assert keys[0] == keys[1] == keys[2] != keys[3]
        assert len({heard.body for heard in peer.heard}) == 1
        assert [0.25 <= pauses[0] <= 0.5, 0.5 <= pauses[1] <= 1.0, len(pauses)] == [True, True, 2]

    def test_a_key_of_ones_own_is_kept(self) -> None:
        with HttpPeer([OK]) as peer:
            self.get(peer.url, lambda client: client.send(MAIL, idempotency_key="order-17"))
        assert peer.heard[0].headers["idempotency-key"] == "order-17"

    @pytest.mark.parametrize(
        "headers",
        [
            {"Retry-After": "7"},
            {"Date": "Sat, 28 Nov 2026 10:00:00 GMT", "Retry-After": "Sat, 28 Nov 2026 10:00:07 GMT"},
        ],
        ids=["seconds", "date"],
    )
    def test_it_comes_back_no_sooner_than_asked(self, headers: dict[str, str]) -> None:
        with HttpPeer([answer(429, headers=headers), OK]) as peer:
            _, (pause,) = self.get(peer.url, lambda client: client.send(MAIL))
        assert 7.0 < pause <= 7.5

    def test_it_does_not_wait_longer_than_it_has_time(self) -> None:
        with HttpPeer([answer(429, headers={"Retry-After": "86400"}), OK]) as peer:
            error = self.fails(peer.url, lambda client: client.send(MAIL))
        assert isinstance(error, LimitReachedError)
        assert (error.retry_after_s, len(peer.heard)) == (86400.0, 1)

    @pytest.mark.parametrize("waits", ["-3", "soon", "9" * 5000, "Sat, 28 Nov 2026 10:00:07 GMT", "1e9"])
    def test_a_wrong_retry_after_is_none(self, waits: str) -> None:
        with HttpPeer([answer(503, headers={"Retry-After": waits}), OK]) as peer:
            _, (pause,) = self.get(peer.url, lambda client: client.send(MAIL))
        assert pause <= 0.5

    @pytest.mark.parametrize(
        "act",
        [
            hang(),
            hang(HEAD),
            hang(HEAD + b"Content-Length: 99\r\n\r\n{"),
            drip(b"HTTP/1.1 202 Accepted\r\nX-Slow: " + b"a" * 999),
            drip(HEAD + b"Content-Length: 999\r\n\r\n" + b" " * 999),
            drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n{\r\n" * 200),
        ],
        ids=["silent", "head cut", "body cut", "head drips", "body drips", "chunks drip"],
    )
    def test_a_server_that_hangs_is_left_and_asked_again(self, act: Any) -> None:
        with HttpPeer([act, OK]) as peer:
            started_s = time.perf_counter()
            accepted, pauses = self.get(peer.url, lambda client: client.send(MAIL))
            took_s = time.perf_counter() - started_s
        assert (accepted.accepted_count, len(peer.heard) - len(pauses)) == (1, 1)
        assert pauses  # One, or more where the machine was so busy that an answer took the 0.3 s of a try.
        assert took_s < 3.0  # The drips alone would take four seconds and more.

    def test_a_server_that_always_hangs_is_given_up(self) -> None:
        with HttpPeer([hang()]) as peer:
            error = self.fails(peer.url, lambda client: client.send(MAIL))
        assert isinstance(error, AnswerTimeoutError)
        assert (error.is_sent, len(peer.heard)) == (True, 5)

    @pytest.mark.parametrize(
        "octets",
        [
            b"",
            HEAD[:20],
            HEAD + b"Content-Length: 99\r\n\r\n{",
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
            b"\0\xff garbage\r\n\r\n",
            HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
        ],
        ids=["at once", "in the head", "in the body", "in a chunk", "no HTTP", "no chunk"],
    )
    def test_a_connection_that_breaks_is_made_again(self, octets: bytes) -> None:
        with HttpPeer([say(octets), OK]) as peer:
            accepted, pauses = self.get(peer.url, lambda client: client.send(MAIL))
        assert (accepted.accepted_count, len(pauses)) == (1, 1)
        assert len({heard.headers["idempotency-key"] for heard in peer.heard}) == 1

    @pytest.mark.parametrize("body", [b"", b"<html>", b'{"id": 7}', b"\xff", b"[" * 100_000])
    def test_success_without_sense_is_an_error_at_once(self, body: bytes) -> None:
        with HttpPeer([answer(200, body)]) as peer:
            error = self.fails(peer.url, lambda client: client.send(MAIL))
        assert isinstance(error, AnswerUnreadableError)
        assert (error.status, len(peer.heard)) == (200, 1)

    def test_redirects_are_not_followed(self) -> None:
        with HttpPeer([OK]) as other:
            moved = answer(308, headers={"Location": f"{other.url}/v1/emails"})
            with HttpPeer([moved]) as peer:
                error = self.fails(peer.url, lambda client: client.send(MAIL))
        assert isinstance(error, AnswerUnreadableError)
        assert (error.status, other.heard) == (308, [])
        assert other.url in str(error)

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, BadRequestError),
            (401, UnauthenticatedError),
            (403, ForbiddenError),
            (404, NotFoundError),
            (409, ConflictError),
            (413, TooLargeError),
            (422, BadRequestError),
        ],
    )
    def test_a_problem_is_an_exception_of_its_kind(self, status: int, kind: type[ProblemError]) -> None:
        said = {"title": "T", "status": 1, "code": "word", "detail": "no @", "field": "to[1]", "request_id": "r-1"}
        said["errors"] = [{"field": "to[1]", "detail": "no @"}]
        act = answer(status, json.dumps(said).encode(), media_type="application/problem+json")
        with HttpPeer([act]) as peer:
            error = self.fails(peer.url, lambda client: client.send(MAIL))
        assert type(error) is kind
        assert isinstance(error, ProblemError)
        assert (error.status, error.code, error.detail, error.field) == (status, "word", "no @", "to[1]")
        assert (error.request_id, error.faults[0].field, len(peer.heard)) == ("r-1", "to[1]", 1)
        assert str(error) == "to[1]: no @ (request r-1)"

    def test_trouble_that_stays_is_raised_with_what_was_said(self) -> None:
        with HttpPeer([answer(502, b"<h1>Bad Gateway", media_type="text/html")]) as peer:
            error = self.fails(peer.url, lambda client: client.send(MAIL))
        assert isinstance(error, ServerError)
        assert (error.status, error.code, len(peer.heard)) == (502, "", 5)
        assert "Bad Gateway" in str(error)

    def test_nobody_listens(self) -> None:
        (port,) = free_ports(1)
        error = self.fails(f"http://127.0.0.1:{port}", lambda client: client.send(MAIL))
        assert isinstance(error, NoAnswerError)
        assert not error.is_sent

    def test_what_may_not_be_done_twice_is_tried_again_only_if_it_was_not_done(self) -> None:
        def add(client: Any) -> Any:
            return client.request("POST", "/domains", body={"name": "a.example"})

        with HttpPeer([say(b""), OK]) as peer:
            error = self.fails(peer.url, add)
        assert isinstance(error, NoAnswerError)
        assert (error.is_sent, len(peer.heard)) == (True, 1)
        with HttpPeer([answer(503), OK]) as peer:
            assert isinstance(self.fails(peer.url, add), ServerError)
        with HttpPeer([answer(429), answer(201, b'{"name":"a.example"}')]) as peer:
            assert self.get(peer.url, add)[0] == {"name": "a.example"}
        with HttpPeer([answer(204)]) as peer:
            assert self.get(peer.url, lambda client: client.request("DELETE", "/domains/a.example"))[0] is None
        assert "idempotency-key" not in peer.heard[0].headers

    def test_connections_are_kept(self) -> None:
        patience = Patience(try_s=10.0, retries_max=0)  # On a busy machine an answer may take longer than `QUICK`.
        with HttpPeer([OK]) as peer:
            self.get(peer.url, lambda client: [client.send(MAIL) for _ in range(5)], patience=patience)
        assert (len(peer.heard), peer.connection_count) == (5, 1)

    def test_a_kept_connection_that_was_closed_is_no_failure(self) -> None:
        gone = answer(202, ACCEPTED, is_kept=False)
        patience = Patience(try_s=3.0, retries_max=0)
        with HttpPeer([gone, gone, OK]) as peer:
            self.get(peer.url, lambda client: [client.send(MAIL) for _ in range(3)], patience=patience)
        assert (len(peer.heard), peer.connection_count) == (3, 3)

    def test_a_batch_is_tried_again_while_parts_of_it_may_pass(self) -> None:
        busy = {"code": "busy", "detail": "too busy", "status": 503, "retry_after_s": 1.0}
        wrong = {"code": "bad_request", "detail": "no @", "field": "to", "status": 400}

        def results(*parts: dict[str, Any]) -> bytes:
            return json.dumps({"accepted_count": 1, "failed_count": 1, "results": parts}).encode()

        first = answer(200, results({"id": "a"}, {"error": busy}, {"error": wrong}))
        last = answer(200, results({"id": "a"}, {"id": "b"}, {"error": wrong}))
        with HttpPeer([first, last]) as peer:
            done, (pause,) = self.get(peer.url, lambda client: client.send_batch([MAIL] * 3))
        assert [part.id for part in done.results] == ["a", "b", None]
        assert done.results[2].error.field == "to"
        assert 1.0 < pause <= 1.5
        assert len({heard.headers["idempotency-key"] for heard in peer.heard}) == 1
        with HttpPeer([first]) as peer:  # It never passes: the answer says so itself.
            done, _ = self.get(peer.url, lambda client: client.send_batch([MAIL] * 3))
        assert (done.results[1].error.code, len(peer.heard)) == ("busy", 5)

    def test_what_of_a_batch_was_accepted_is_known_even_if_the_next_try_fails(self) -> None:
        busy = {"code": "busy", "detail": "too busy", "status": 503, "retry_after_s": 1.0}
        said = {"accepted_count": 1, "failed_count": 1, "results": [{"id": "a"}, {"error": busy}]}
        refused = b'{"code":"unauthenticated","status":401}'
        for failure, tries in ((say(b""), 5), (answer(401, refused), 2), (answer(503), 5), (answer(200, b"<html>"), 2)):
            with HttpPeer([answer(200, json.dumps(said).encode(), is_kept=False), failure]) as peer:
                done, _ = self.get(peer.url, lambda client: client.send_batch([MAIL] * 2))
            assert ([part.id for part in done.results], len(peer.heard)) == (["a", None], tries)

    def test_a_list_is_read_page_by_page(self) -> None:
        def page(ids: str, following: str | None) -> bytes:
            rows = [{"id": one, "from": "a@shop.example", "accepted_at": "2026-11-28T10:00:00Z"} for one in ids]
            return json.dumps({"emails": rows, "next": following}).encode()

        acts = [answer(200, page("ab", "p 2")), answer(503), answer(200, page("", "p3")), answer(200, page("c", None))]
        with HttpPeer(acts) as peer:
            found, _ = self.go(peer.url, lambda client: client.messages(tag="a&b", statuses=["queued", "held"]), 9)
        assert [one.id for one in found] == ["a", "b", "c"]
        assert peer.heard[0].target == "/v1/emails?status=queued&status=held&tag=a%26b&limit=100"
        assert [heard.target.partition("&after=")[2] for heard in peer.heard] == ["", "p+2", "p+2", "p3"]

    def test_who_stops_reading_reads_no_further_page(self) -> None:
        body = {"emails": [{"id": "a", "from": "a@b.example", "accepted_at": "2026-11-28T10:00:00Z"}], "next": "x"}
        with HttpPeer([answer(200, json.dumps(body).encode())]) as peer:
            self.go(peer.url, lambda client: client.messages(), 1)
        assert len(peer.heard) == 1
        with HttpPeer([answer(200, json.dumps(body).encode())]) as peer:  # A server that leads in a circle.
            found, _ = self.go(peer.url, lambda client: client.messages(), 99)
        assert (len(found), len(peer.heard)) == (2, 2)

    def test_a_stream_goes_on_where_it_broke(self) -> None:
        first = stream(b": hello\n\n", frame("c1", "delivered"), frame("c2", "opened")[:-1])
        second = stream(b"retry: 2500\n\n", b"id: c9\n: beat\n\n")
        third = stream(frame("c10", "opened"), frame("c11", "bounced"))
        with HttpPeer([first, answer(503), second, third]) as peer:
            found, pauses = self.go(peer.url, lambda client: client.follow_events(after="c0", kinds=["x"]), 3)
        assert [(one.id, one.kind) for one in found] == [("c1", "delivered"), ("c10", "opened"), ("c11", "bounced")]
        assert all(isinstance(one, Event) for one in found)
        assert [heard.headers.get("last-event-id") for heard in peer.heard] == ["c0", "c1", "c1", "c9"]
        assert peer.heard[0].target == "/v1/events/stream?kind=x"
        assert len(pauses) == 3
        assert pauses[2] > 2.5

    def test_a_stream_without_a_heartbeat_is_made_anew(self) -> None:
        with HttpPeer([hang(STREAM + frame("c1", "delivered")), stream(frame("c2", "opened"))]) as peer:
            found, _ = self.go(peer.url, lambda client: client.follow_events(), 2)
        assert [one.id for one in found] == ["c1", "c2"]

    def test_a_stream_that_is_refused_ends(self) -> None:
        for act in (answer(401), answer(200, b"{}"), say(STREAM + b"data: {no json\n\n")):
            with HttpPeer([act]) as peer, pytest.raises(ClientError):
                self.go(peer.url, lambda client: client.follow_events(), 1)
            assert len(peer.heard) == 1

    def test_a_first_connection_of_a_stream_fails_as_a_call_does(self) -> None:
        with HttpPeer([answer(503)]) as peer, pytest.raises(ServerError):
            self.go(peer.url, lambda client: client.follow_events(), 1)
        assert len(peer.heard) == 5

    def test_tls_is_checked(self) -> None:
        signed = SelfSigned("localhost")
        with HttpPeer([OK], tls=signed.context) as peer:
            error = self.fails(peer.url, lambda client: client.send(MAIL), patience=Patience())
            assert isinstance(error, NoAnswerError)
            assert (error.is_final, peer.heard) == (True, [])
            trusting = ssl.create_default_context(cadata=signed.pem)
            patience = Patience(try_s=5.0)
            self.get(peer.url, lambda client: [client.send(MAIL) for _ in range(2)], tls=trusting, patience=patience)
        assert len(peer.heard) == 2

    def test_an_answer_without_end_is_left(self) -> None:
        endless = say(HEAD + b"\r\n", *[b" " * 1_000_000] * 3, b"")
        with HttpPeer([endless]) as peer:
            error = self.fails(peer.url, lambda client: client.show("a"), patience=Patience(try_s=5.0))
        assert isinstance(error, AnswerUnreadableError)


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nConnection: close\r\n\r\n"


def stream(*pieces: bytes) -> Any:
    return say(STREAM, *pieces)


def frame(cursor: str, kind: str) -> bytes:
    body = json.dumps({"id": cursor, "kind": kind, "at": "2026-11-28T10:00:00Z", "new_field": [1]})
    return f"id: {cursor}\nevent: {kind}\ndata: {body}\n\n".encode()


def options_of(url: str, timer: Any, given: dict[str, Any]) -> dict[str, Any]:
    return {"url": url, "api_key": KEY, "patience": QUICK, "timer": timer, "chance": random.Random(7), **given}
