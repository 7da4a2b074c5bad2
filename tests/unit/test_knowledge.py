"""What the package knows can be read, and the operator's own comes on top."""

from pathlib import Path

import pytest

from outrider.base.errors import ConfigError
from outrider.config import Config
from outrider.knowledge import (
    agents,
    block_lists,
    make_shaping,
    own_rules,
    reply_rules,
    rules_text,
    simulator_words,
    warmup_plans,
)
from outrider.policy.settings import ClassifySettings


def test_what_comes_with_the_package_is_whole(tmp_path: Path) -> None:
    config = Config(data_dir=str(tmp_path))
    assert own_rules(config) == ()
    assert len(reply_rules(())) > 100
    assert "[[rule]]" in rules_text()
    assert "gmail" in {provider.name for provider in make_shaping(config).providers}
    assert warmup_plans(config)
    assert simulator_words().profiles
    assert block_lists()
    assert agents().rules.machine


def test_a_file_of_the_operators_that_is_not_there_is_named(tmp_path: Path) -> None:
    config = Config(data_dir=str(tmp_path), classify=ClassifySettings(file="mine.toml"))
    with pytest.raises(ConfigError) as caught:
        own_rules(config)
    assert "mine.toml" in caught.value.public
