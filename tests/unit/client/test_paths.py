"""Paths of calls: quoted, and never another path."""

import pytest

from outrider.client import paths


def test_what_is_empty_is_left_out_of_a_query() -> None:
    query = {"a": "", "b": [], "c": None, "d": 0, "e": ["x y", "z"]}
    assert paths.with_query("/list", query, after="") == "/list?d=0&e=x+y&e=z"
    assert paths.with_query("/list", {}) == "/list"


@pytest.mark.parametrize(("given", "quoted"), [("a/b", "a%2Fb"), ("é?#", "%C3%A9%3F%23"), ("UET1", "UET1")])
def test_a_part_is_one_part(given: str, quoted: str) -> None:
    assert paths.part(given) == quoted
