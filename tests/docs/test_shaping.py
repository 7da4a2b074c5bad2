"""The examples of docs/howto/shaping.md are settings and files that Outrider takes."""

import re
from pathlib import Path
from typing import Final

from outrider.config import load
from outrider.policy.shaping import Rate, parse
from tests.docs.pages import ROOT

PAGE: Final = (ROOT / "docs/howto/shaping.md").read_text("utf-8")
TEXT: Final = (ROOT / "src/outrider/policy/shaping.toml").read_text("utf-8")


def test_the_examples_hold(tmp_path: Path) -> None:
    numbers, table, own = re.findall(r"^```toml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    (tmp_path / "outrider.toml").write_text(table + numbers, "utf-8")
    variables = dict(re.findall(r"^export (\w+)=(\S+)", PAGE, re.MULTILINE))
    config = load({"OUTRIDER_DATA_DIR": str(tmp_path)} | variables)
    known = parse(TEXT, config.shaping, own)
    assert config.shaping.file == "own.toml"
    assert (known.limits("gmail", "").connections, known.limits("yahoo-japan", "").rates) == (10, (Rate(5, 1.0),))
    assert known.limits("yahoo", "default").connection_rate == Rate(30, 60.0)
    assert len(known.react("corp", "450 Please slow down", "rate.provider")) == 2
