"""Declarations of kinds of task: what can't work stops the program, with the fix in the sentence."""

from __future__ import annotations

from typing import Any

import pytest

from counters.settings import CounterSettings
from counters.update_counter import UpdateCounter
from pushtasks.delivery import Delivery
from pushtasks.errors import BadDeclaration
from pushtasks.task import Kinds, Task
from pushtasks.work import Work


class Greet(Task[None]):
    name = "greet"
    queues = ("greetings", "more-greetings")

    def parse(self, delivery: Delivery) -> None:
        return None

    def apply(self, payload: None, delivery: Delivery, work: Work) -> None: ...


def variant(**attributes: Any) -> type[Task[Any]]:
    return type("Odd", (Greet,), attributes)


def test_kinds_are_found_by_name_and_their_queues_listed_once(settings: CounterSettings) -> None:
    kinds = Kinds([UpdateCounter, Greet, variant(name="greet-again")], settings)

    assert [kind.name for kind in kinds] == ["update-counter", "greet", "greet-again"]
    assert isinstance(kinds.get("greet"), Greet)
    assert kinds.of(Greet).path == "/greet"
    assert kinds.get("nobody") is None
    assert kinds.queues == (*UpdateCounter.queues, "greetings", "more-greetings")


@pytest.mark.parametrize(
    ("attributes", "sentence"),
    [
        ({"name": "Send Mail"}, "Odd.name is 'Send Mail'. Expected 1 to 64 of lower-case letters, digits"),
        ({"name": None}, "Odd.name is None. Expected 1 to 64"),
        ({"queues": ()}, "Odd.queues is (). Expected a tuple of one or more different queue names"),
        ({"queues": "greetings"}, "Odd.queues is 'greetings'. Expected a tuple"),
        ({"queues": ("a", "a")}, "Odd.queues is ('a', 'a'). Expected a tuple"),
        ({"queues": ("a b",)}, "Odd.queues is ('a b',). Expected a tuple"),
        ({"attempts": 0}, "Odd.attempts is 0. Expected a number from 1 to 1000, or None"),
        ({"attempts": "5"}, "Odd.attempts is '5'. Expected a number"),
        ({"most_grouped": 201}, "Odd.most_grouped is 201. Expected a number from 1 to 200."),
        ({"attemps": 5}, "Odd.attemps is not an option of a task. Expected one of attempts, most_grouped,"),
    ],
)
def test_a_declaration_that_can_not_work_is_refused(
    settings: CounterSettings, attributes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(BadDeclaration) as caught:
        Kinds([variant(**attributes)], settings)

    assert str(caught.value).startswith(sentence)


def test_two_kinds_can_not_have_one_name(settings: CounterSettings) -> None:
    with pytest.raises(BadDeclaration, match="Odd.name is 'greet', which is Greet's. Expected another name"):
        Kinds([Greet, variant()], settings)


def test_a_kind_that_is_not_in_the_list_is_named(settings: CounterSettings) -> None:
    with pytest.raises(BadDeclaration, match="Greet is not in the application's list of kinds. Add it there"):
        Kinds([UpdateCounter], settings).of(Greet)
