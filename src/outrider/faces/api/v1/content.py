"""/v1/content: how a mail would be judged, without sending it; and the records of a project's policy for that.

The policy itself is shown and changed at /v1/project, and what is held is released at /v1/emails. What a score or a
fault means is decided by `policy.content`, not here.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from outrider.base import limits
from outrider.base.vocab import ContentAction, ContentCause, KeyScope
from outrider.faces.api.body import Places
from outrider.faces.api.ports import Ports
from outrider.faces.api.v1 import filling, messages
from outrider.faces.api.v1.call import Call
from outrider.faces.api.v1.message_types import NewMessage
from outrider.faces.api.v1.routes import Route
from outrider.policy.content import ContentVerdict, Threshold, WhenDown
from outrider.policy.lint import Fault
from outrider.services.content import OwnPolicy, PolicyView

_SCORE_WORDS: Final = "From this score on; 0: as the filter itself says."


class SymbolShown(msgspec.Struct, frozen=True, kw_only=True):
    """A rule of the junk filter that met something."""

    name: str
    score: Annotated[float, Meta(description="Below 0: it speaks for the mail.")]
    description: str


class FaultShown(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is plain to see in the mail."""

    code: str
    severity: Literal["error", "warning"]
    sentence: str
    where: Annotated[str, Meta(description="Empty: in the whole.")]


class ContentJudged(msgspec.Struct, frozen=True, kw_only=True):
    """How a mail would be judged."""

    action: ContentAction
    cause: Annotated[ContentCause, Meta(description="What decided that; empty: nothing was found.")]
    sentence: Annotated[str, Meta(description="Why, empty if there is nothing to say.")]
    score: Annotated[float | None, Meta(description="null: there is no filter, or it did not answer.")]
    required_score: Annotated[float | None, Meta(description="From which score on the filter itself would refuse.")]
    symbols: Annotated[Sequence[SymbolShown], Meta(description="Those that weigh most first.")]
    lint: Sequence[FaultShown]


class PolicyShown(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of mail for its content."""

    tag_score: Annotated[float, Meta(description=_SCORE_WORDS)]
    hold_score: Annotated[float, Meta(description=_SCORE_WORDS)]
    refuse_score: Annotated[float, Meta(description=_SCORE_WORDS)]
    when_down: Annotated[WhenDown, Meta(description="While the filter does not answer.")]
    lint_errors: ContentAction
    lint_warnings: ContentAction
    is_on: Annotated[bool, Meta(description="Whether mail is judged when it is handed in.")]
    has_filter: Annotated[bool, Meta(description="Whether there is a junk filter.")]
    own: Annotated[Mapping[str, float | str], Meta(description="Which of these the project has set itself.")]


class PolicyChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; what is left out stays, null is as the installation says."""

    tag_score: Threshold | UnsetType | None = UNSET
    hold_score: Threshold | UnsetType | None = UNSET
    refuse_score: Threshold | UnsetType | None = UNSET
    when_down: WhenDown | UnsetType | None = UNSET
    lint_errors: ContentAction | UnsetType | None = UNSET
    lint_warnings: ContentAction | UnsetType | None = UNSET


def routes(ports: Ports) -> list[Route]:
    """Return the rows of /v1/content."""
    return [
        Route(
            method="POST",
            path="/content/check",
            act=_Checking(ports).check_content,
            scope=KeyScope.SEND,
            tag="Emails",
            fields=messages.FIELDS,
            body_bytes_max=limits.REQUEST_FILES_BYTES_MAX,
        )
    ]


class _Checking:
    def __init__(self, ports: Ports) -> None:
        self._ports: Final = ports
        self._files: Final = Places()

    async def check_content(self, call: Call, body: NewMessage) -> ContentJudged:
        """Say how a mail would be judged if it were handed in: its first recipient's. Nothing is sent or kept."""
        async with self._files.take(is_needed=bool(body.attachments)):
            files = await self._ports.resolve_files(messages.given(body)) if body.attachments else ()
            templated = await filling.find(self._ports, call, body) if messages.is_filled(body) else None
            made, _ = messages.submission(body, files, templated)
            candidate = await self._ports.services.candidate(call.project_id, made, domains=call.domains)
            return judged(await self._ports.services.contents.check(candidate))


def judged(verdict: ContentVerdict) -> ContentJudged:
    """Return a verdict as callers read it."""
    return ContentJudged(
        action=verdict.action,
        cause=verdict.cause,
        sentence=verdict.sentence,
        score=verdict.score,
        required_score=verdict.required,
        symbols=[SymbolShown(name=one.name, score=one.score, description=one.words) for one in verdict.symbols],
        lint=faults_shown(verdict.faults),
    )


def faults_shown(faults: Sequence[Fault]) -> Sequence[FaultShown]:
    """Return what is plainly wrong with a mail as callers read it."""
    return [
        FaultShown(
            code=one.code, severity="error" if one.is_error else "warning", sentence=one.sentence, where=one.where
        )
        for one in faults
    ]


def policy_shown(view: PolicyView) -> PolicyShown:
    """Return a project's policy as callers read it."""
    return PolicyShown(
        **msgspec.structs.asdict(view.counts), is_on=view.is_on, has_filter=view.has_filter, own=_own(view.own)
    )


def _own(own: OwnPolicy) -> Mapping[str, float | str]:
    return {name: value for name, value in msgspec.structs.asdict(own).items() if value is not None}
