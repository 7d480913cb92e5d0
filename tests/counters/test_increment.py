"""What an increment is, and what its parsing says about anything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counters.increment import Increment, parse_amount, parse_counter_name, parse_increment
from pushtasks.errors import Rejected


@pytest.mark.parametrize("amount", ["1", "-1", "+7", "2147483647", "-2147483648", 5, -5])
def test_a_whole_number_but_0_is_an_amount(amount: object) -> None:
    assert parse_amount(amount) == int(str(amount))


NO_AMOUNTS: list[object] = [
    *(None, "", " ", "abc", "1.5", "1e3", "0", "-0", "1 ", "１", "2147483648", "-2147483649", "9" * 5000),
    *(0, 1.5, 1.0, True, 2**31, [], {}),
]


@pytest.mark.parametrize("amount", NO_AMOUNTS)
def test_anything_else_is_none(amount: object) -> None:
    with pytest.raises(Rejected) as caught:
        parse_amount(amount)

    assert caught.value.field == "amount"
    assert "Expected a whole number from -2147483648 to 2147483647, not 0." in caught.value.sentence
    assert len(caught.value.sentence) < 400


@pytest.mark.parametrize("name", ["a", "0", "visits", "a.b_c-d", "x" * 100])
def test_a_counter_name(name: str) -> None:
    assert parse_counter_name(name) == name


@pytest.mark.parametrize("name", [None, "", ".a", "-a", "_a", "a b", "a/b", "ä", "x" * 101, 7, "a\n", "<b>"])
def test_no_counter_name(name: object) -> None:
    with pytest.raises(Rejected, match="counter"):
        parse_counter_name(name)


@given(st.integers(-(2**31), 2**31 - 1).filter(bool))
def test_every_amount_in_range_survives_text_and_number(number: int) -> None:
    assert parse_amount(number) == parse_amount(str(number)) == number


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=3))
def test_whatever_comes_it_is_parsed_or_refused(value: object) -> None:
    for parse in (parse_amount, parse_counter_name):
        try:
            parse(value)
        except Rejected as problem:
            assert problem.expected


def test_an_increment_names_the_field_that_is_missing() -> None:
    assert parse_increment({"counter": "visits", "amount": "3"}) == Increment("visits", 3)
    with pytest.raises(Rejected, match="counter is missing. Expected 1 to 100 of letters"):
        parse_increment({"amount": "3"})
    with pytest.raises(Rejected, match="amount is missing. Expected a whole number"):
        parse_increment({"counter": "visits"})
