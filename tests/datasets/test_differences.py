"""What differs between two texts: words, Chinese without spaces, texts with nothing in common, and long ones."""

from __future__ import annotations

import pytest

from datasets.differences import MOST, Piece, marks, tokens


def seen(pieces: list[Piece]) -> str:
    """The pieces as one text, with what the other text has not in brackets."""
    return "".join(piece.text if piece.is_common else f"[{piece.text}]" for piece in pieces)


@pytest.mark.parametrize(
    ("one", "other", "in_one", "in_other"),
    [
        ("It is 2.1 m long.", "It is 2.3 m long.", "It is [2.1] m long.", "It is [2.3] m long."),
        ("the cat sat", "the black cat sat", "the cat sat", "the [black] cat sat"),
        ("利用叠加和纠缠来处理", "利用叠加与纠缠来处理", "利用叠加[和]纠缠来处理", "利用叠加[与]纠缠来处理"),
        ("a big, red dog", "a small, blue dog", "a [big, red] dog", "a [small, blue] dog"),
    ],
)
def test_it_marks_what_the_other_has_not(one: str, other: str, in_one: str, in_other: str) -> None:
    found = marks(one, other)
    assert (seen(found.one), seen(found.other)) == (in_one, in_other)


def test_texts_with_little_in_common_are_a_piece_each() -> None:
    found = marks("Yes, of course it is", "No. Never")
    assert (found.one, found.other) == ([Piece("Yes, of course it is", False)], [Piece("No. Never", False)])


def test_spaces_alone_are_no_difference_of_words() -> None:
    found = marks("a\n\nb", "a b")
    assert found.alike == 1.0
    assert (seen(found.one), seen(found.other)) == ("a\n\nb", "a b")


@pytest.mark.parametrize("text", ["", " ", "a  b\n", "量子 計算,x_1 é'_ 😀\u200b 3.14", "ไทย ကခ"])
def test_nothing_of_a_text_is_lost(text: str) -> None:
    assert "".join(tokens(text)) == text
    assert "".join(piece.text for piece in marks(text, f"{text}!").one) == text


def test_of_long_texts_the_beginning_is_compared() -> None:
    found = marks("好" * MOST + "a", "好" * MOST + "b")
    assert found.alike == 1.0
    assert sum(len(piece.text) for piece in found.one) == MOST
