"""What a call is made of, without a socket: requests, answers, tries. The one implementation behind both clients.

    steps = core.run(call)          a generator: it gives steps, is sent what became of each, and returns the answer

A try fails for good, or passes: no connection, no whole answer, 429, 5xx. What passes is tried again after a pause that
doubles and is drawn at random, never before the server's Retry-After, with the same idempotency key, until tries or
time run out; then the last error is raised. A Retry-After that is longer than the time left raises at once: the program
knows better what to do until tomorrow. A call that may not be done twice is tried again only if nothing was done: no
connection, or 429. Redirects are not followed: the key would go with them.

Sources: RFC 9110 §9.2.2 and §10.2.3; the jitter is "equal jitter" of the AWS Architecture Blog, 2015-03-04.
"""

import itertools
import math
import random
import re
from collections.abc import Callable, Generator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

import msgspec

from outrider.client.calls import Call, Following, Listing
from outrider.client.config import Patience, Place
from outrider.client.errors import (
    AnswerTimeoutError,
    AnswerUnreadableError,
    ClientError,
    NoAnswerError,
    Problem,
    ProblemError,
    error_of,
)
from outrider.client.frames import Frame, Frames, FrameTooLargeError
from outrider.client.records import Event
from outrider.client.steps import (
    Close,
    Failure,
    Open,
    Pause,
    Read,
    Request,
    Step,
    Steps,
    Yielded,
    YieldingSteps,
)

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024  # Ours: the longest page of the API is far below.
_PASSING: Final = (429, 500, 502, 503, 504)
_SECONDS: Final = re.compile(r"[0-9]{1,9}")
_STALE_COUNT_MAX: Final = 16  # Kept connections that may turn out closed, one after the other.
_WORDS_CHARS_MAX: Final = 200  # Of an answer that is not ours, in an error.

T = TypeVar("T")


class _Whole(msgspec.Struct, frozen=True):
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def may_be_cut(self) -> bool:
        """Tell whether nothing says how long it is, so that a connection that broke looks like its end."""
        return "content-length" not in self.headers and "transfer-encoding" not in self.headers


class Core:
    """Makes steps of calls. Holds no state of theirs: any number may be under way."""

    def __init__(
        self,
        place: Place,
        authorization: str,
        *,
        patience: Patience,
        monotonic_s: Callable[[], float],
        chance: random.Random,
    ) -> None:
        self._place: Final = place
        self._authorization: Final = authorization
        self._patience: Final = patience
        self._monotonic_s: Final = monotonic_s
        self._chance: Final = chance

    def run(self, call: Call[T]) -> Steps[T]:
        """Carry out a call.

        An answer that may yet be better (`Call.passing_s`) is asked for again; if that fails, it is the answer still:
        what it says was done.

        Raises:
            ClientError: it failed for good, or for too long (`errors` has the tree).
        """
        key = f"{self._chance.getrandbits(128):032x}" if call.idempotency_key is None else call.idempotency_key
        request = self._request(call.method, call.path, body=call.body, key=key)
        is_repeatable = call.is_repeatable or bool(key)
        ends_s = self._monotonic_s() + self._patience.total_s
        was_sent, is_answered = False, False
        answer: Any = None  # The last one, once there is one.
        for count in itertools.count():
            outcome = yield from self._try(request, ends_s, is_repeatable=is_repeatable)
            was_sent = was_sent or not isinstance(outcome, Failure) or outcome.is_sent
            error: ClientError | None = None
            try:
                answer, is_answered = _decode(outcome, call.answer, was_sent=was_sent), True
                wait_s = call.passing_s(answer) if call.passing_s else None
            except ClientError as failed:
                error, wait_s = failed, _wait_s(outcome, failed, is_repeatable=is_repeatable)
            if wait_s is not None and count < self._patience.retries_max:
                pause_s = max(wait_s, 0.0) + self._pause_s(count)
                if self._monotonic_s() + pause_s < ends_s:
                    yield Pause(pause_s)
                    continue
            if error is not None and not is_answered:
                raise error
            return answer  # type: ignore[no-any-return]
        raise AssertionError("a call ends by an answer or an error")

    def pages(self, listing: Listing[T]) -> YieldingSteps[T]:
        """Yield what is on a list, page after page, each read when the one before is used up."""
        cursor = listing.after
        while True:
            page = yield from self.run(listing.page(cursor))
            for row in page.rows:
                yield Yielded(row)
            if not page.following or page.following == cursor:
                return
            cursor = page.following

    def follow(self, following: Following) -> YieldingSteps[Event]:
        """Yield events as they happen, for ever.

        Raises:
            ClientError: the first connection failed as a call does, or a later one was refused for good.
        """
        frames, is_known, count = Frames(following.after), False, 0
        while True:
            before = frames.cursor
            frames = Frames(before)
            error = yield from self._connect(following, before)
            if error is None:
                is_known = True
                error = yield from self._listen(frames)
            if frames.cursor != before:  # A server that only ever opens and closes is not hammered.
                count = 0
            wait_s = _stream_wait_s(error)
            if wait_s is None or (not is_known and count >= self._patience.retries_max):
                raise error
            yield Pause(max(wait_s, frames.retry_s or 0.0) + self._pause_s(count))
            count += 1

    # -- One try.

    def _request(
        self, method: str, path: str, *, body: bytes | None = None, key: str = "", more: Mapping[str, str] | None = None
    ) -> Request:
        headers = {
            "Authorization": self._authorization,
            "Accept": "application/json, application/problem+json",
            "Accept-Encoding": "identity",
            "User-Agent": "outrider-python",
            **(more or {}),
        }
        if body is not None:
            headers["Content-Type"] = "application/json"
        if key:
            headers["Idempotency-Key"] = key
        return Request(method, self._place.prefix + path, headers, body)

    def _try(self, request: Request, ends_s: float, *, is_repeatable: bool) -> Steps[_Whole | Failure]:
        """Send the request once and read the whole answer; connections that had been closed meanwhile do not count."""
        try_ends_s = min(ends_s, self._monotonic_s() + self._patience.try_s)
        for _ in range(_STALE_COUNT_MAX):
            opened = yield Open(request, self._left_s(try_ends_s))
            if not (isinstance(opened, Failure) and opened.is_stale and is_repeatable):
                break
        if isinstance(opened, Failure):
            return opened
        body = yield from self._body(try_ends_s)
        yield Close()
        return body if isinstance(body, Failure) else _Whole(opened.status, opened.headers, body)

    def _body(self, ends_s: float) -> Steps[bytes | Failure]:
        chunks: list[bytes] = []
        size = 0
        while True:
            chunk = yield Read(self._left_s(ends_s))
            if isinstance(chunk, Failure):
                return chunk
            if not chunk:
                return b"".join(chunks)
            size += len(chunk)
            if size > ANSWER_BYTES_MAX:
                return Failure(f"an answer of over {ANSWER_BYTES_MAX} bytes", is_final=True)
            chunks.append(chunk)

    def _left_s(self, ends_s: float) -> float:
        """Return what is left, never so little that nothing could be tried at all."""
        return max(ends_s - self._monotonic_s(), 0.001)

    def _pause_s(self, count: int) -> float:
        longest_s = min(self._patience.pause_max_s, self._patience.pause_first_s * 2.0 ** min(count, 30))
        return longest_s * (0.5 + self._chance.random() / 2)

    # -- A stream.

    def _connect(self, following: Following, cursor: str) -> Steps[ClientError | None]:
        """Open the stream; return what went wrong."""
        more = {"Accept": "text/event-stream"} | ({"Last-Event-ID": cursor} if cursor else {})
        request = self._request("GET", following.path, more=more)
        opened = yield Open(request, self._patience.try_s)
        if isinstance(opened, Failure):
            return _no_answer(opened, was_sent=opened.is_sent)
        if opened.status == 200 and _media_type(opened.headers) == "text/event-stream":
            return None
        body = yield from self._body(self._monotonic_s() + self._patience.try_s)
        yield Close()
        if isinstance(body, Failure):
            return _no_answer(body)
        if opened.status == 200:
            return _unreadable(_Whole(200, opened.headers, body))
        return _refusal(_Whole(opened.status, opened.headers, body))

    def _listen(self, frames: Frames) -> Generator[Step | Yielded[Event], Any, ClientError]:
        """Yield events until the stream ends; return why it did."""
        while True:
            chunk = yield Read(self._patience.silence_s)
            if isinstance(chunk, Failure):
                return _no_answer(chunk)
            if not chunk:
                yield Close()
                return NoAnswerError("the stream ended", is_sent=True)
            try:
                found = [_event(frame) for frame in frames.feed(chunk)]
            except (FrameTooLargeError, msgspec.DecodeError) as error:
                yield Close()
                return AnswerUnreadableError(f"the stream cannot be read: {error}", status=200)
            for event in found:
                yield Yielded(event)


def _decode(outcome: _Whole | Failure, kind: Any, *, was_sent: bool) -> Any:
    """Return the answer's JSON as `kind`, or raise what its status says."""
    if isinstance(outcome, Failure):
        raise _no_answer(outcome, was_sent=was_sent)
    if not 200 <= outcome.status < 300:
        raise _refusal(outcome)
    if kind is None or (kind is Any and not outcome.body):
        return None
    try:
        return msgspec.json.decode(outcome.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # msgspec.ValidationError is a DecodeError.
        raise _unreadable(outcome) from None


def _no_answer(failure: Failure, *, was_sent: bool = True) -> NoAnswerError:
    kind = AnswerTimeoutError if failure.is_timeout else NoAnswerError
    return kind(failure.reason, is_sent=was_sent, is_final=failure.is_final)


def _refusal(whole: _Whole) -> ClientError:
    """Return what an answer that is no success means. Whatever its body is, its status counts."""
    if whole.status < 400:
        target = ascii(whole.headers.get("location", ""))[:_WORDS_CHARS_MAX]
        reason = f"answered {whole.status}, which leads to {target}; redirects are not followed: is url right?"
        return AnswerUnreadableError(reason, status=whole.status)
    try:
        said = msgspec.json.decode(whole.body, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = Problem()
    if not said.code:  # A proxy, or another server.
        said = Problem(detail=f"answered {whole.status} without a word of Outrider: {_words(whole.body)}")
    wait_s = _retry_after_s(whole.headers)
    if wait_s is None and said.retry_after_s is not None and 0 <= said.retry_after_s < math.inf:
        wait_s = said.retry_after_s
    return error_of(msgspec.structs.replace(said, status=whole.status, retry_after_s=wait_s))


def _unreadable(whole: _Whole) -> AnswerUnreadableError:
    reason = f"answered {whole.status} with what is not Outrider's: {_words(whole.body)}; is url right?"
    return AnswerUnreadableError(reason, status=whole.status)


def _words(body: bytes) -> str:
    return ascii(body[:_WORDS_CHARS_MAX].decode("utf-8", "replace"))


def _wait_s(outcome: _Whole | Failure, error: ClientError, *, is_repeatable: bool) -> float | None:
    """Return how long to wait at least before the next try; None: there is no point in one, or it could do harm."""
    if isinstance(outcome, Failure):
        return None if outcome.is_final or (outcome.is_sent and not is_repeatable) else 0.0
    if outcome.status < 300 and outcome.may_be_cut:
        return 0.0 if is_repeatable else None
    if outcome.status not in _PASSING or (outcome.status != 429 and not is_repeatable):
        return None
    return error.retry_after_s or 0.0 if isinstance(error, ProblemError) else 0.0


def _stream_wait_s(error: ClientError) -> float | None:
    match error:
        case NoAnswerError():
            return None if error.is_final else 0.0
        case ProblemError(status=status):
            return (error.retry_after_s or 0.0) if status in _PASSING else None
        case _:
            return None


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After. A date counts from the server's own Date, so that no clock needs to be right."""
    given = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(given):
        return float(given)
    try:
        return max(0.0, (parsedate_to_datetime(given) - parsedate_to_datetime(headers["date"])).total_seconds())
    except (KeyError, TypeError, ValueError, OverflowError):  # TypeError: one of them has no zone.
        return None


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _event(frame: Frame) -> Event:
    return msgspec.json.decode(frame.text, type=Event)
