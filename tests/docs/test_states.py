"""The state table of ARCHITECTURE.md is the one in `store/recipients.py`."""

import re

from outrider.base.vocab import RecipientStatus
from outrider.store.recipients import MOVES
from tests.docs.pages import ROOT, table


def moves_in(text: str) -> dict[str, set[str]]:
    """Return the moves that the document's state table allows."""
    return {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[2])) for row in table(text, "state")}


def test_the_table_in_the_document_is_the_one_in_the_code() -> None:
    written = moves_in((ROOT / "ARCHITECTURE.md").read_text("utf-8"))
    assert written == {str(state): {str(target) for target in targets} for state, targets in MOVES.items()}


def test_final_states_lead_to_final_ones_alone() -> None:
    """`delivered` may turn out to be `bounced`; no further attempt is ever made."""
    closed = {state for state, targets in MOVES.items() if all(target.is_final for target in targets)}
    assert {state for state in RecipientStatus if state.is_final} == closed
    assert MOVES[RecipientStatus.DELIVERED] == {RecipientStatus.BOUNCED}


def test_moves_are_read_from_the_third_column() -> None:
    text = "| state | means | leaves to |\n|---|---|---|\n| `held` | `x` | `queued`, `expired` |\n| `bounced` | | - |\n"
    assert moves_in(text) == {"held": {"queued", "expired"}, "bounced": set()}
