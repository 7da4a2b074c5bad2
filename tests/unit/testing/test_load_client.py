"""What is read back of a generator's run."""

from pathlib import Path

from outrider.testing.load_client import AcceptedCall, read_accepted


def test_a_half_written_line_is_not_an_accepted_call(tmp_path: Path) -> None:
    file = tmp_path / "accepted.tsv"
    assert read_accepted(file) == []
    file.write_text("0\t20\tone\n20\t20\ttwo\n40\t2")
    assert read_accepted(file) == [AcceptedCall(0, 20, "one"), AcceptedCall(20, 20, "two")]
