"""What differs from mail to mail is masked, whatever the text; what is masked stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.policy.masking import mask


@given(text=st.text(max_size=400) | st.text(alphabet="aZ09@<> .-_é\t\n*#", max_size=400))
def test_it_never_fails_and_what_is_masked_stays(text: str) -> None:
    masked = mask(text)
    assert mask(masked) == masked
    assert len(masked) <= 200


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("<Ann@A.example>: no such user", "<@>: no such user"),
        ("unknown [4b1zxq99]", "unknown [*]"),
        ("Not accepted here  a1-2000.1 - gsmtp\nBye", "not accepted here a#-#.# - gsmtp bye"),
        ("id 0f8fad5b-d9cb-469f-a165-70867728950e", "id *"),
        ("[TSS04] from 192.0.2.7", "[tss#] from #.#.#.#"),
        ("(S3150) interesting", "(s#) interesting"),
        ("", ""),
    ],
)
def test_examples(text: str, masked: str) -> None:
    assert mask(text) == masked


def test_two_of_a_kind_are_the_same() -> None:
    one = "<ann@a.example> rejected, ticket 20261127-aa71f; see https://a.example/?id=17"
    two = "<bob@b.example> rejected, ticket 20261128-bb02c; see https://a.example/?id=4242"
    assert mask(one) == mask(two)
