"""How a receiver misbehaves on purpose: rules, one line of text each.

    WHEN[@SHARE][#TIMES] PATTERN ACTION

    rcpt *@full.example reply 452 4.2.2 mailbox full
    connect#3 * reply 421 4.3.2 come back later
    dot@0.1 * swallow
    ehlo * delay 1.5

`fault_mix` gives rules for a bit of everything: what a soak run meets.

WHEN is a `Stage`; SHARE the part of its chances a rule takes (seeded, so a run can be repeated); TIMES how often it
acts at all. PATTERN is a shell pattern on the address the stage is about: the sender at `mail`, the recipient at
`rcpt`, any of the recipients from `data` on, the greeting name at `ehlo`, "" before. The first rule that matches and
wins its draw acts; where none does, the receiver behaves. Pure.
"""

import enum
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Final

import msgspec


class Stage(enum.StrEnum):
    """Where in the dialogue a rule acts."""

    CONNECT = "connect"  # Instead of the greeting.
    EHLO = "ehlo"
    STARTTLS = "starttls"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"  # At the first octets of the message.
    DOT = "dot"  # Instead of the reply to the final dot.


class Action(enum.StrEnum):
    """What happens instead of the usual reply."""

    REPLY = "reply"  # This reply. A 2xx at the dot keeps the message, any other does not.
    DROP = "drop"  # Close at once; at the dot the message is not kept.
    SWALLOW = "swallow"  # At the dot: keep the message, then close without a word.
    HANG = "hang"  # Never say anything again.
    GARBAGE = "garbage"  # Say something that is no SMTP.
    DELAY = "delay"  # Wait that many seconds, then behave.


class Rule(msgspec.Struct, frozen=True):
    """One line of misbehaviour."""

    stage: Stage
    pattern: str
    action: Action
    argument: str = ""  # The reply without CRLF, or the seconds of a delay.
    share_ratio: float = 1.0
    times_max: int = 0  # 0: no bound.

    @property
    def delay_s(self) -> float:
        """Seconds of a delay."""
        return float(self.argument)


class Rulebook:
    """The rules of one receiver, with what each has used up."""

    def __init__(self, rules: Sequence[Rule], draw: Callable[[], float]) -> None:
        """`draw` gives a number from 0 up to 1, a new one each time."""
        self._rules: Final = tuple(rules)
        self._times: Final = [0] * len(rules)
        self._draw: Final = draw
        self.stages: Final = frozenset(rule.stage for rule in rules)

    def choose(self, stage: Stage, subjects: Sequence[str]) -> Rule | None:
        """Return the rule that acts now; None: behave."""
        for at, rule in enumerate(self._rules):
            if rule.stage is not stage or (rule.times_max and self._times[at] >= rule.times_max):
                continue
            if not any(fnmatchcase(subject, rule.pattern) for subject in subjects):
                continue
            if rule.share_ratio < 1.0 and self._draw() >= rule.share_ratio:
                continue
            self._times[at] += 1
            return rule
        return None


def parse_rule(line: str) -> Rule:
    """Read one rule.

    Raises:
        ValueError: the line is none; the text says why.
    """
    words = line.split(maxsplit=3)
    if len(words) < 3:
        raise ValueError(f"a rule is WHEN PATTERN ACTION, not {line!r}")
    when, pattern, action_word = words[:3]
    when, _, times = when.partition("#")
    stage_word, _, share = when.partition("@")
    action = Action(action_word)
    rule = Rule(
        stage=Stage(stage_word),
        pattern=pattern,
        action=action,
        argument=words[3].strip() if len(words) > 3 else "",
        share_ratio=float(share) if share else 1.0,
        times_max=int(times) if times else 0,
    )
    if action is Action.REPLY and not rule.argument[:3].isdecimal():
        raise ValueError(f"{line!r}: a reply starts with its code")
    if action is Action.DELAY:
        float(rule.argument)
    if action is Action.SWALLOW and rule.stage is not Stage.DOT:
        raise ValueError(f"{line!r}: only at the dot is there a message to swallow")
    return rule


# Each kind of trouble, and how much of it there is beside the others. No words that ask for a long pause: then a run
# would wait instead of work.
_FAULTS: Final = (
    ("connect", "reply 421 4.3.2 come back later", 1.0),
    ("connect", "drop", 1.0),
    ("ehlo", "drop", 0.5),
    ("starttls", "reply 454 4.7.0 TLS not available", 2.0),
    ("starttls", "drop", 1.0),
    ("mail", "reply 421 4.3.0 closing, busy", 1.0),
    ("mail", "reply 451 4.3.0 try again", 1.0),
    ("rcpt", "reply 550 5.1.1 no such user", 3.0),
    ("rcpt", "reply 451 4.2.0 mailbox busy", 3.0),
    ("data", "reply 451 4.3.0 not now", 1.0),
    ("body", "drop", 1.0),
    ("dot", "reply 451 4.3.0 not now", 1.0),
    ("dot", "reply 554 5.6.0 not that", 1.0),
    ("dot", "swallow", 1.0),
    ("dot", "drop", 0.5),
    ("dot", "delay 2", 2.0),
    ("dot", "hang", 0.2),
    ("rcpt", "garbage", 0.2),
)


def fault_mix(share_ratio: float) -> tuple[str, ...]:
    """Return rules by which about `share_ratio` of all mail meets some trouble, of every kind that there is."""
    total = sum(weight for _, _, weight in _FAULTS)
    return tuple(f"{stage}@{share_ratio * weight / total:.6f} * {action}" for stage, action, weight in _FAULTS)
