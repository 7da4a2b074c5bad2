"""Doubles of what judges content: a book and a filter that say what a test told them, and remember who asked."""

from typing import Final

from outrider.base.vocab import ContentAction, ContentCause
from outrider.engine.content import Candidate
from outrider.net.rspamd import Silence
from outrider.policy.content import ContentVerdict
from outrider.wire.rspamd import Question, Score, Symbol

PASSED: Final = ContentVerdict(action=ContentAction.PASS)


def verdict(action: ContentAction, *, score: float = 7.5, sentence: str = "It looks like junk.") -> ContentVerdict:
    """Return a verdict by score."""
    return ContentVerdict(
        action=action,
        cause=ContentCause.SCORE,
        sentence=sentence,
        score=score,
        required=15.0,
        symbols=(Symbol("BAD_URL", score, "A link to a bad place"), Symbol("CAPS", 0.5)),
    )


class ToldBook:
    """A `ContentBook` with one verdict for all, until a test sets another."""

    def __init__(self, said: ContentVerdict = PASSED) -> None:
        self.verdict = said
        self.asked: Final[list[Candidate]] = []
        self.is_closed = False

    async def judge(self, candidate: Candidate) -> ContentVerdict:
        """Remember the candidate; say what the test said."""
        self.asked.append(candidate)
        return self.verdict

    async def close(self) -> None:
        """Remember that."""
        self.is_closed = True


class ToldScanner:
    """A `Scanner` with one answer for all, until a test sets another."""

    def __init__(self, said: Score | Silence) -> None:
        self.said = said
        self.asked: Final[list[tuple[Question, bytes]]] = []
        self.is_closed = False

    async def ask(self, question: Question, message: bytes) -> Score | Silence:
        """Remember the message; say what the test said."""
        self.asked.append((question, message))
        return self.said

    async def close(self) -> None:
        """Remember that."""
        self.is_closed = True
