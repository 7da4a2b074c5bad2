"""What the simulator does with mail to one of its addresses: read from the address itself. Pure.

    WORD[+TAG...]@[PROFILE.]simulator.outrider.test

    bounce@                       550 5.1.1 at RCPT
    bounce+gmail+order-17@        the same in Gmail's words; what is no profile is yours to use
    bounce@gmail.simulator.outrider.test    the same again
    reply+421-4.7.28@             that code; reply+552-5.2.2-data@ at that command: mail, rcpt, data or dot
    chance+10-550-5.1.1@          that in 10 of 100, else taken; chance+25-bounce@ any other word

`OUTCOMES` is the one table of words: `outrider simulator --list` and docs/reference/simulator.md print it. What is said
is data: `simulate.toml` has for each word the reply of any server and those of the providers, with sources. An outcome
acts at one stage of the dialogue, or comes later as a mail to the return path.

MAIL does not say whom the mail is for. What is to happen there happens when RCPT comes in the same packet (pipelining),
else at RCPT.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from outrider.base.errors import ConfigError
from outrider.base.vocab import Fate
from outrider.policy.behaviour import Action, Rule, Stage
from outrider.policy.reason import Reason
from outrider.policy.rulefile import read_toml

DOMAIN: Final = "simulator.outrider.test"  # RFC 2606 §2: never anybody's.
HOST_NAME: Final = f"mx.{DOMAIN}"
BOUNCE_DOMAIN: Final = f"bounces.{DOMAIN}"  # Of the return paths of mail to it, where its project has no other.
PROVIDER: Final = "simulator"  # By whose limits mail to no profile is counted: shaping.toml.
ANY: Final = "any"  # In simulate.toml: the words of a server of no profile.
DELIVERED: Final = "delivered"
DEFER: Final = "defer"
RATE: Final = "rate"
SLOW_S: Final = 10.0  # slow@; slow+2@ for two seconds.
SLOW_S_MAX: Final = 600.0
_REPLY: Final = "reply"
_CHANCE: Final = "chance"
_REPLY_CHARS_MAX: Final = 480  # Ours: with CRLF a line of RFC 5321 §4.5.3.1.5.
_local: Final = re.compile(r"[a-z0-9_.+-]{1,64}").fullmatch
_spec: Final = re.compile(r"([45][0-9]{2})(?:-([245]\.[0-9]{1,3}\.[0-9]{1,3}))?(?:-(mail|rcpt|data|dot))?").fullmatch
_share: Final = re.compile(r"([1-9][0-9]?|100)-(.+)").fullmatch
_seconds: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3})?").fullmatch
_Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]


class Late(StrEnum):
    """What comes later, by mail to the return path."""

    BOUNCE = "bounce"  # A delivery status notification: 5.1.1.
    COMPLAINT = "complaint"  # An ARF report: somebody pressed "spam".
    AUTO_REPLY = "auto_reply"  # Out of office.
    CHALLENGE = "challenge"  # "Confirm that you are a person."
    UNSUBSCRIBE = "unsubscribe"  # To the address in List-Unsubscribe, if there is one.


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one word stands for."""

    name: str
    does: str  # For people: what the receiver does.
    stage: Stage | None = None  # Where it acts; None: not in the dialogue.
    action: Action = Action.REPLY
    late: Late | None = None
    fate: Fate = Fate.DELIVERED  # What an attempt comes to, and why: what `outrider show` prints.
    reason: Reason = Reason.ACCEPTED


def _refusal(name: str, stage: Stage, fate: Fate, reason: Reason, does: str) -> Outcome:
    return Outcome(name=name, does=does, stage=stage, fate=fate, reason=reason)


_BOUNCED, _DEFERRED = Fate.BOUNCED, Fate.DEFERRED
OUTCOMES: Final[tuple[Outcome, ...]] = (
    Outcome(name=DELIVERED, does="takes the mail: 250"),
    _refusal("bounce", Stage.RCPT, _BOUNCED, Reason.RECIPIENT_INVALID, "knows no such user: 550 5.1.1"),
    _refusal("soft-bounce", Stage.RCPT, _DEFERRED, Reason.UNKNOWN_SOFT, "is never able to take it: 450 4.2.0, always"),
    _refusal("full", Stage.RCPT, _DEFERRED, Reason.RECIPIENT_FULL, "has a full mailbox: 452 4.2.2, always"),
    _refusal(DEFER, Stage.RCPT, _DEFERRED, Reason.GREYLIST, "greylists: 451 4.7.1 first, 250 at the next attempt"),
    _refusal("disabled", Stage.RCPT, _BOUNCED, Reason.RECIPIENT_DISABLED, "has closed the account: 550 5.2.1"),
    _refusal("moved", Stage.RCPT, _BOUNCED, Reason.RECIPIENT_MOVED, "names another address: 551 5.1.6"),
    _refusal("blocked", Stage.RCPT, _DEFERRED, Reason.IP_REPUTATION, "finds the sending address on a block list: 554"),
    _refusal(RATE, Stage.RCPT, _DEFERRED, Reason.RATE_PROVIDER, "gets too much at once: 421 4.7.28, always"),
    _refusal("tss04", Stage.RCPT, _DEFERRED, Reason.RATE_PROVIDER, "is Yahoo and has had enough: 553 5.7.1 [TSS04]"),
    _refusal("spam", Stage.DOT, _BOUNCED, Reason.CONTENT_SPAM, "reads it and calls it spam: 554 5.7.1 at the dot"),
    _refusal("virus", Stage.DOT, _BOUNCED, Reason.CONTENT_VIRUS, "finds a virus: 554 5.7.1 at the dot"),
    _refusal("auth", Stage.DOT, _BOUNCED, Reason.SENDER_AUTH, "finds no SPF, DKIM or DMARC that holds: 550 5.7.26"),
    Outcome(name="slow", stage=Stage.DOT, action=Action.DELAY, does="takes it after 10 s; slow+2@ after 2 s"),
    Outcome(
        name="drop-after-dot",
        stage=Stage.DOT,
        action=Action.SWALLOW,
        does="takes the whole message and closes without a word, always",
        fate=_DEFERRED,
        reason=Reason.NETWORK,
    ),
    Outcome(
        name="timeout",
        stage=Stage.RCPT,
        action=Action.HANG,
        does="never answers RCPT",
        fate=_DEFERRED,
        reason=Reason.NETWORK,
    ),
    Outcome(
        name="garbage",
        stage=Stage.RCPT,
        action=Action.GARBAGE,
        does="answers RCPT with what is no SMTP",
        fate=_DEFERRED,
        reason=Reason.PROTOCOL,
    ),
    Outcome(name="late-bounce", late=Late.BOUNCE, does="takes it, then returns a delivery report: 5.1.1"),
    Outcome(name="complaint", late=Late.COMPLAINT, does="takes it, then reports it as spam (ARF)"),
    Outcome(name="auto-reply", late=Late.AUTO_REPLY, does="takes it, then answers: out of office"),
    Outcome(name="challenge", late=Late.CHALLENGE, does="takes it, then asks the sender to confirm"),
    Outcome(name="unsubscribe", late=Late.UNSUBSCRIBE, does="takes it, then unsubscribes by mail"),
)
PATTERNS: Final[Mapping[str, str]] = {
    "reply+CODE[-ENHANCED][-STAGE]": "says that: reply+421-4.7.28@, reply+552-5.2.2-data@; at mail, rcpt, data or dot",
    "chance+PERCENT-CODE[-ENHANCED][-STAGE]": "says that to so many of 100, takes the others: chance+10-550-5.1.1@",
    "chance+PERCENT-WORD": "does what that word stands for with so many of 100: chance+25-bounce@",
}
_BY_NAME: Final = {outcome.name: outcome for outcome in OUTCOMES}


class Wish(msgspec.Struct, frozen=True):
    """What an address asks for."""

    outcome: Outcome
    profile: str  # "": none.
    stage: Stage | None  # Where it acts; the words of a provider may say it elsewhere.
    reply: str = ""  # With placeholders; "" where there is nothing to say.
    delay_s: float = 0.0
    share_ratio: float = 1.0


class Reply(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One [[reply]] of simulate.toml. Placeholders: {address}, {local}, {domain}, {ip} of the client."""

    profile: _Name
    outcome: _Name
    text: Annotated[str, msgspec.Meta(pattern=r"^[45][0-9]{2} [ -~]{1,440}$")]
    stage: Stage | None = None  # Where the provider says it, if not where everybody does.
    fate: Fate | None = None  # What it comes to, and why, if not what the word promises.
    reason: Reason | None = None
    source: Annotated[str, msgspec.Meta(min_length=1)]
    seen_on: date


class _WordsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reply: tuple[Reply, ...]


class Phrasebook:
    """What is said, by profile and word. Immutable."""

    def __init__(self, replies: Sequence[Reply]) -> None:
        """Raise ConfigError if a word is said twice, is unknown, or is missing from `any`."""
        self.replies: Final = tuple(replies)
        self._by_key: Final = {(reply.profile, reply.outcome): reply for reply in replies}
        self.profiles: Final = tuple(sorted({reply.profile for reply in replies} - {ANY}))
        spoken = {outcome.name for outcome in OUTCOMES if outcome.stage and outcome.action is Action.REPLY}
        spoken.add("late-bounce")
        if len(self._by_key) != len(replies):
            raise ConfigError("simulate.toml has two replies for one word of one profile.")
        if strange := {reply.outcome for reply in replies} - spoken:
            raise ConfigError(f"simulate.toml has a reply for {min(strange)!r}, which says nothing.")
        if missing := {name for name in spoken if (ANY, name) not in self._by_key}:
            raise ConfigError(f"simulate.toml has no reply for {min(missing)!r} of profile {ANY!r}.")

    def find(self, outcome: str, profile: str) -> Reply | None:
        """Return the profile's words, else anybody's; None for an outcome that says nothing."""
        return self._by_key.get((profile, outcome)) or self._by_key.get((ANY, outcome))

    def recall(self, code: str, profile: str) -> str:
        """Return the profile's own words that begin with this code, else plain ones."""
        own = (r.text for r in self.replies if r.profile == profile and r.text.startswith(f"{code} "))
        return next(own, f"{code} Simulated: you asked for this reply")


def parse_words(text: str) -> Phrasebook:
    """Read simulate.toml.

    Raises:
        ConfigError: says what is wrong with it.
    """
    return Phrasebook(read_toml(text, _WordsFile, "The file of simulated replies").reply)


def is_simulated(domain: str, also: Sequence[str] = ()) -> bool:
    """Tell whether mail to this domain is the simulator's; `also` are further domains of its own."""
    name = domain.lower()
    return any(name == ours or name.endswith(f".{ours}") for ours in (DOMAIN, *also))


def profile_of(domain: str, profiles: Sequence[str]) -> str:
    """Return the profile that a domain below ours names, "" if it names none."""
    label = domain.lower().removesuffix(f".{DOMAIN}").rpartition(".")[2]
    return label if label in profiles and domain.lower() != DOMAIN else ""


def read(address: str, words: Phrasebook, *, profile: str = "", also: Sequence[str] = ()) -> Wish | str:
    """Return what the address asks for, or a sentence for the sender of mail that is not taken.

    Args:
        profile: of the simulator, where the address names none.
        also: further domains that it answers for.
    """
    local, _, domain = address.lower().rpartition("@")
    if not is_simulated(domain, also):
        return f"550 5.7.1 Relaying denied: the simulator takes mail for {DOMAIN} only"
    if not _local(local):
        return "550 5.1.1 No such simulator address"
    word, *tags = local.split("+")
    own = profile_of(domain, words.profiles) or next((tag for tag in tags if tag in words.profiles), "") or profile
    found = _of_word(word, tags, words, own)
    return found or f"550 5.1.1 No such simulator address: {word[:40]}; see outrider simulator --list"


def _of_word(word: str, tags: Sequence[str], words: Phrasebook, profile: str) -> Wish | None:
    first = tags[0] if tags else ""
    if word == _REPLY:
        return _of_spec(first, words, profile)
    if word == _CHANCE:
        found = _share(first)
        if found is None or found[2] in (_CHANCE, _REPLY):
            return None
        wish = _of_spec(found[2], words, profile) or _of_word(found[2], tags[1:], words, profile)
        return wish and msgspec.structs.replace(wish, share_ratio=int(found[1]) / 100)
    outcome = _BY_NAME.get(word)
    if outcome is None:
        return None
    reply = words.find(word, profile)
    if outcome.action is Action.DELAY:
        delay_s = min(float(first), SLOW_S_MAX) if _seconds(first) else SLOW_S
        return Wish(outcome, profile, outcome.stage, delay_s=delay_s)
    if reply is None:
        return Wish(outcome, profile, outcome.stage)
    return Wish(outcome, profile, (reply.stage or outcome.stage) if outcome.stage else None, reply.text)


def _of_spec(spec: str, words: Phrasebook, profile: str) -> Wish | None:
    """Read CODE[-ENHANCED][-STAGE]."""
    found = _spec(spec)
    if found is None:
        return None
    code, enhanced, stage = found.groups()
    text = words.recall(f"{code} {enhanced}" if enhanced else code, profile)
    outcome = Outcome(name=_REPLY, does="says that", stage=Stage(stage or "rcpt"), fate=_DEFERRED)
    return Wish(outcome, profile, outcome.stage, text)


def rule_of(wish: Wish, address: str, client: str) -> Rule:
    """Return what a receiver does about it, with its words filled in.

    Args:
        address: of the recipient; `read` has understood it.
        client: the IP address of the sender.
    """
    assert wish.stage is not None
    if wish.outcome.action is Action.DELAY:
        return Rule(wish.stage, "*", Action.DELAY, str(wish.delay_s))
    return Rule(wish.stage, "*", wish.outcome.action, fill(wish.reply, address, client))


def fill(text: str, address: str, client: str) -> str:
    """Put address and client where the placeholders are; bounded, one line."""
    local, _, domain = address.rpartition("@")
    for name, value in (("address", address), ("local", local), ("domain", domain), ("ip", client)):
        text = text.replace(f"{{{name}}}", value)
    return text[:_REPLY_CHARS_MAX]


def parse_host_port(text: str, setting: str) -> tuple[str, int]:
    """Read HOST:PORT; an IPv6 address stands in brackets.

    Raises:
        ConfigError: it is none; names the setting.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"{setting}: {text!r} is no HOST:PORT, such as 127.0.0.1:2526.")
    return host.removeprefix("[").removesuffix("]"), int(port)
