"""Results on stdout: JSON for programs, lines for people; a terminal finds nothing to obey in what strangers wrote."""

import json

import pytest

from outrider.cli import output

EVIL = "a\x1b[2J\x07b\x9bc"


def test_rows_are_a_table_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, object]] = [{"name": "shop.example", "status": None}, {"name": EVIL, "status": "verified"}]
    output.show_rows(["NAME", "STATUS"], rows, empty="None.", as_json=False)
    shown = capsys.readouterr().out
    assert shown.splitlines()[0].split() == ["NAME", "STATUS"]
    assert "a?[2J?b?c" in shown
    output.show_rows(["NAME", "STATUS"], rows, empty="None.", as_json=True)
    assert json.loads(capsys.readouterr().out) == rows


@pytest.mark.parametrize(("as_json", "shown"), [(False, "None.\n"), (True, "[]\n")])
def test_no_rows_are_said_to_be_none(capsys: pytest.CaptureFixture[str], as_json: bool, shown: str) -> None:
    output.show_rows(["NAME"], [], empty="None.", as_json=as_json)
    assert capsys.readouterr().out == shown


def test_facts_are_lines_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    facts = {"name": "shop.example", "subject": EVIL}
    output.show_facts(facts)
    assert capsys.readouterr().out == "name:    shop.example\nsubject: a?[2J?b?c\n"
    output.show_facts(facts, as_json=True)
    assert json.loads(capsys.readouterr().out) == facts


def test_a_text_keeps_its_lines_and_nothing_that_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_text(f"Grüße\u00a0注文\n\tline\r{EVIL}")
    assert capsys.readouterr().out == "Grüße\u00a0注文\n\tline?a?[2J?b?c\n"


def test_a_result_is_json_or_told(capsys: pytest.CaptureFixture[str]) -> None:
    def tell(names: list[str]) -> None:
        output.show_text(" and ".join(names))

    output.show(["a", "b"], tell, as_json=False)
    assert capsys.readouterr().out == "a and b\n"
    output.show(["a", "b"], tell, as_json=True)
    assert json.loads(capsys.readouterr().out) == ["a", "b"]
