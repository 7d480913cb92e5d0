"""Task names: the same for the same key, and always in the same queue."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushtasks import names
from pushtasks.errors import Rejected

QUEUES = ("q0", "q1", "q2", "q3")


def test_a_key_gives_one_name_and_another_key_another() -> None:
    assert names.keyed_name("h", "k") == names.keyed_name("h", "k")
    assert names.keyed_name("h", "k") != names.keyed_name("h", "l")
    assert names.keyed_name("ab", "c") != names.keyed_name("a", "bc")


def test_random_names_differ_and_never_look_like_names_by_hand() -> None:
    made = {names.random_name() for _ in range(1000)}

    assert len(made) == 1000
    assert not any(name.startswith("by-hand-") for name in made)


def test_names_spread_evenly_over_queues_and_stay_where_they_are() -> None:
    made = [names.keyed_name("h", str(number)) for number in range(4000)]
    spread = Counter(names.queue_of(name, QUEUES) for name in made)

    assert set(spread) == set(QUEUES)
    assert min(spread.values()) > 850
    assert names.queue_of("0f3c", QUEUES) == names.queue_of("0f3c", QUEUES)


def test_a_task_enqueued_again_gets_the_next_name() -> None:
    ours = names.random_name()

    assert names.derived_name(ours) == f"{ours}-r1"
    assert names.derived_name(f"{ours}-r1") == f"{ours}-r2"


def test_the_next_name_is_never_one_that_another_program_may_own() -> None:
    assert names.derived_name("import-r5") == "import-r5-r1"
    assert names.derived_name("abc-rx") == "abc-rx-r1"


@pytest.mark.parametrize("name", ["", "a b", "ä", "a/b", "x" * 501, None, 5])
def test_what_is_no_task_name(name: object) -> None:
    with pytest.raises(Rejected, match="Expected 1 to 500 of letters"):
        names.parse_task_name(name)


@pytest.mark.parametrize("name", ["a", "-", "_", "A-b_9", "x" * 500])
def test_what_is_a_task_name(name: str) -> None:
    assert names.parse_task_name(name) == name


@pytest.mark.parametrize("key", ["", "x" * 256, "a\nb", "ä"])
def test_what_is_no_idempotency_key(key: str) -> None:
    with pytest.raises(Rejected, match="Idempotency-Key"):
        names.parse_idempotency_key(key)


def test_no_key_is_fine() -> None:
    assert names.parse_idempotency_key(None) is None
    assert names.parse_idempotency_key("my key 1") == "my key 1"


@given(st.sampled_from(["0123456789abcdef" * 2, "import", "import-r5", "a-r1"]), st.integers(1, 5))
def test_a_derived_name_tells_what_it_was_derived_from(first: str, times: int) -> None:
    name = first
    for _ in range(times):
        name, before = names.derived_name(name), name

    assert names.derived_from(name) == before
