"""What we learn about addresses, turned into suppressions; and who may not get mail. For `settle` and for reports.

    reply of an attempt --settle----+
    bounce, complaint --services----+--> learn --> evidence, suppressions        accept, lease --> among
    delivered ----------settle-----------> mended (evidence is lifted)

What a finding means is `policy.suppress`, in code and pure; here it meets what is stored. `learn` runs in its caller's
transaction, so a bounce, its event and the suppression it leads to are on disk together or not at all.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import Fate, Stream, SuppressionOrigin, SuppressionScope
from outrider.policy import suppress
from outrider.store import suppressions
from outrider.store.pool import Tx
from outrider.store.suppressions import Evidence, Suppression

_SAID_CHARS_MAX: Final = 500  # Ours: of a reply or report, kept as evidence.


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing learned about one address."""

    project_id: UUID
    address_key: str
    message_id: UUID
    recipient_id: UUID
    reason: str  # A `policy.reason.Reason`.
    fate: Fate  # BOUNCED: it was meant for good.
    origin: SuppressionOrigin
    rule: str
    rules: str
    said: str  # The reply or report, for people.
    at: datetime
    sender_domain: str = ""  # Of the mail.


async def learn(tx: Tx, findings: Sequence[Finding], *, now: datetime) -> dict[UUID, Suppression]:
    """Store what these findings lead to. Returns the suppressions that hold because of them, by recipient.

    Cost: nothing for findings that can never suppress; else up to three statements for all of them together.
    """
    telling = [
        one for one in findings if one.reason in suppress.SUPPRESSING and suppress.is_meant(one.reason, one.fate)
    ]
    if not telling:
        return {}
    counted = [one for one in telling if suppress.is_counted(one.reason)]
    earlier: dict[tuple[UUID, str], list[suppress.Evidence]] = defaultdict(list)
    if counted:
        pairs = [(one.project_id, one.address_key) for one in counted]
        for row in await suppressions.noted(tx, pairs, since=now - suppress.EVIDENCE_LIFE):
            earlier[row.project_id, row.address_key].append(suppress.Evidence(row.reason, row.at, row.message_id))
        await suppressions.note(
            tx, [Evidence(one.project_id, one.address_key, one.reason, one.at, one.message_id) for one in counted]
        )
    made: dict[UUID, Suppression] = {}
    for one in telling:
        known = earlier[one.project_id, one.address_key]
        decision = suppress.decide(
            one.reason,
            fate=one.fate,
            earlier=known,
            message_id=one.message_id,
            now=one.at,
            text=one.said,
        )
        known.append(suppress.Evidence(one.reason, one.at, one.message_id))
        if decision is not None:
            made[one.recipient_id] = _suppression(one, decision)
    if made:
        await suppressions.put(tx, list(made.values()))
    return made


def _suppression(finding: Finding, decision: suppress.Decision) -> Suppression:
    return Suppression(
        project_id=finding.project_id,
        address_key=finding.address_key,
        scope=decision.scope,
        # Who complains about a newsletter still gets the receipt.
        subject=Stream.MARKETING if decision.scope is SuppressionScope.STREAM else "",
        reason=decision.reason,
        origin=finding.origin,
        rule=finding.rule,
        rules=finding.rules,
        evidence=finding.said[:_SAID_CHARS_MAX],
        recipient_id=finding.recipient_id,
        created_at=finding.at,
        expires_at=decision.expires_at,
    )
