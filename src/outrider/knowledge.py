"""What the package knows as data, with the operator's own files on top: rules, limits, plans, words, block lists.

Reads the files beside `policy` and those that the settings name; what they mean is `policy`'s.
"""

import importlib.resources
from collections.abc import Mapping, Sequence

from outrider.config import Config, read_own_file
from outrider.policy import blocklists, classify, engagement, shaping, simulate
from outrider.policy.blocklists import BlockList
from outrider.policy.classify import Classifier, Rule, parse_own_rules, parse_rules
from outrider.policy.engagement import AgentBook
from outrider.policy.shaping import Shaping
from outrider.policy.simulate import Phrasebook
from outrider.policy.warmup import Plan, make_plans, parse_plans


def make_classifier(config: Config) -> Classifier:
    """The rules about replies, ready to judge. Raises ConfigError: the operator's file is wrong; it says where."""
    return Classifier(reply_rules(own_rules(config)))


def own_rules(config: Config) -> Sequence[Rule]:
    """The operator's rules about replies. Raises ConfigError: the file is wrong; it says where."""
    text = read_own_file(config, config.classify.file, "[classify] file")
    return parse_own_rules(text, "The file of [classify] file") if text else ()


def reply_rules(own: Sequence[Rule]) -> Sequence[Rule]:
    """The operator's rules about replies and those of the package, as they are asked."""
    return classify.merged(own, parse_rules(rules_text()))


def rules_text() -> str:
    """The classifier's rules as they come with the package."""
    return (importlib.resources.files("outrider.policy") / "rules.toml").read_text("utf-8")


def make_shaping(config: Config) -> Shaping:
    """Providers, limits and reply rules: those of the package, of the operator's file, changed by the settings.

    Raises:
        ConfigError: something in them is wrong; it says where.
    """
    text = (importlib.resources.files("outrider.policy") / "shaping.toml").read_text("utf-8")
    return shaping.parse(text, config.shaping, read_own_file(config, config.shaping.file, "[shaping] file"))


def warmup_plans(config: Config) -> Mapping[str, Plan]:
    """The warm-up plans by name: those of the package, of the operator's file, of the settings; the later one wins.

    Raises:
        ConfigError: a plan is wrong, or the file cannot be read.
    """
    ours = (importlib.resources.files("outrider.policy") / "warmup.toml").read_text("utf-8")
    own = read_own_file(config, config.warmup.file, "[warmup] file")
    return make_plans(parse_plans(ours), parse_plans(own), config.warmup.plans)


def simulator_words() -> Phrasebook:
    """What the simulator says, as it comes with the package."""
    return simulate.parse_words((importlib.resources.files("outrider.policy") / "simulate.toml").read_text("utf-8"))


def agents() -> AgentBook:
    """The programs that fetch pixels and follow links, as they come with the package."""
    return engagement.parse((importlib.resources.files("outrider.policy") / "agents.toml").read_text("utf-8"))


def block_lists() -> Sequence[BlockList]:
    """The DNS block lists that receivers ask, as they come with the package."""
    return blocklists.parse((importlib.resources.files("outrider.policy") / "blocklists.toml").read_text("utf-8"))
