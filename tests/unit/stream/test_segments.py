"""Where long texts are cut."""

from __future__ import annotations

import pytest
from cadenza.apps.stream.segments import Cut, clip, cut, units, whole
from hypothesis import given, strategies as st

FENCES = ["```" + "x" * 400, "`" * 300, "~" * 500 + "\n", "``` info with words\n", "\ud83d\ude00"]
texts = st.lists(
    st.sampled_from(
        ["word ", "end. ", "\n", "\n\n", "```py\n", "```\n", "~~~~\n", "🎻", "e\u0301", "👩\u200d👧", "`x` "]
    ),
    min_size=1,
    max_size=200,
).map("".join)


@given(texts, st.integers(20, 300), st.integers(0, 50))
def test_a_cut_loses_nothing_and_fits(text: str, limit: int, floor: int) -> None:
    floor = min(floor, len(text))
    if units(text) <= limit:
        return
    place = cut(text, limit, floor)
    head = text[: place.at] + place.closing
    assert place.at >= floor
    assert 0 < place.at <= len(text)
    assert units(head) <= limit or place.at <= max(floor, 1)
    assert bool(place.closing) == bool(place.opening)


@given(texts, st.integers(30, 300))
def test_repeated_cuts_come_to_an_end_and_join_to_the_text(text: str, limit: int) -> None:
    rest, joined = text, ""
    opening = ""
    while units(rest) > limit:
        place = cut(rest, limit)
        joined += rest[len(opening) : place.at]
        shorter = place.opening + rest[place.at :]
        assert len(shorter) < len(rest)
        rest, opening = shorter, place.opening
    assert joined + rest[len(opening) :] == text


@pytest.mark.parametrize("text", ["`" * 41_000, "~" * 90_000, "```" + "x" * 50_000 + "\nfoo\n```"])
def test_a_line_of_backticks_is_text_like_any_other(text: str) -> None:
    place = cut(text, 40_960)
    assert (place.at, place.closing, place.opening) == (40_960, "", "")


def test_a_cut_does_not_fall_into_the_line_that_opens_a_code_block() -> None:
    text = "words " * 14 + "\n```python title=x\n" + "x = 1\n" * 20
    assert text[: cut(text, 100).at] == "words " * 14 + "\n"


def test_a_surrogate_pair_that_came_in_halves_is_not_torn() -> None:
    text = "x" * 99 + "\ud83d\ude00" + "y" * 20
    assert text[: cut(text, 100).at] == "x" * 99


@pytest.mark.parametrize(
    ("text", "head"),
    [
        ("a" * 85 + "\n\n" + "b" * 50, "a" * 85 + "\n\n"),
        ("a" * 85 + "\n" + "b" * 50, "a" * 85 + "\n"),
        ("a" * 85 + ". " + "b" * 50, "a" * 85 + ". "),
        ("a" * 85 + " " + "b" * 50, "a" * 85 + " "),
        ("a" * 50 + "\n\n" + "b" * 100, "a" * 50 + "\n\n" + "b" * 48),
        ("🎻" * 60, "🎻" * 50),
    ],
)
def test_the_best_place_in_the_last_fifth_is_taken(text: str, head: str) -> None:
    assert text[: cut(text, 100).at] == head


def test_a_code_fence_is_closed_and_opened_again() -> None:
    text = "```py\n" + "x = 1\n" * 30
    place = cut(text, 100)
    assert text[: place.at].endswith("x = 1\n")
    assert (place.closing, place.opening) == ("```", "```py\n")
    assert units(text[: place.at] + place.closing) <= 100


@pytest.mark.parametrize(
    "lines", ["```\n```py\n", "````\n```\n", "~~~\n```\n", "```\n~~~\n", "  ```\n    ```\n"]
)
def test_a_code_block_ends_only_with_a_fence_that_closes_it(lines: str) -> None:
    opening = lines.splitlines(keepends=True)[0].lstrip()
    assert cut(lines + "x = 1\n" * 30, 100).opening == opening


def test_backticks_with_more_backticks_behind_open_no_code_block() -> None:
    assert cut("```x``` is code\n" + "word " * 30, 100).opening == ""


def test_a_line_of_code_that_is_longer_than_a_message_is_cut_with_its_fence() -> None:
    text = "```py\n" + "x" * 300
    place = cut(text, 100)
    assert (place.closing, place.opening) == ("\n```", "```py\n")
    assert len(text[: place.at] + place.closing) == 100


def test_a_long_code_block_is_cut_and_not_put_off() -> None:
    place = cut("Look:\n```py\n" + "x = 1\n" * 100, 100)
    assert place.at > 80
    assert (place.closing, place.opening) == ("```", "```py\n")


def test_no_message_ends_with_an_empty_code_block() -> None:
    text = "w" * 80 + "\n```py\n" + "x" * 100
    assert cut(text, 100) == Cut(81)


def test_a_closed_fence_needs_no_repair() -> None:
    place = cut("```py\nx = 1\n```\n" + "word " * 40, 100)
    assert (place.closing, place.opening) == ("", "")


@pytest.mark.parametrize("character", ["e\u0301", "\u2764\ufe0f", "\u261d\U0001f3fb", "\r\n"])
def test_what_a_reader_takes_for_one_character_is_not_torn(character: str) -> None:
    text = "x" * 99 + character + "y" * 20
    assert cut(text, 100).at == 99


def test_an_emoji_family_is_not_torn_apart() -> None:
    family = "👩\u200d👩\u200d👧"
    text = "x" * 95 + family + "y" * 20
    assert cut(text, 100).at in (95, 95 + len(family))


def test_lengths_are_utf16_code_units() -> None:
    assert (units("abc"), units("é"), units("🎻"), units("\ud83d")) == (3, 1, 2, 1)


@given(st.text(max_size=3000))
def test_a_clipped_line_keeps_both_limits(text: str) -> None:
    clipped = clip(text, 1000, 1024)
    assert units(clipped) <= 1000
    assert len(clipped.encode("utf-8", "surrogatepass")) <= 1024
    assert clipped == text or clipped.endswith("…")


def test_a_line_is_clipped_no_more_than_it_must() -> None:
    assert clip("x" * 1000, 1000, 1024) == "x" * 1000
    assert clip("x" * 1001, 1000, 1024) == "x" * 999 + "…"
    assert clip("é" * 513, 1000, 1024) == "é" * 510 + "…"


def test_only_a_first_half_at_the_end_is_held_back() -> None:
    assert whole("x\ud83d") == "x"
    assert whole("x\ud83d\ude00") == "x\ud83d\ude00"
    assert whole("") == ""


def test_where_the_shown_text_ends_with_a_word_no_further_word_is_torn() -> None:
    text = "0123456789 " * 20
    assert cut(text, 100, floor=99).at == 99
