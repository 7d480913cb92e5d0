"""Which calls a script spoils: exactly the same ones in every run."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from localcloud.faults.script import Kind, Script, ScriptError


def struck(script: Script, method: str = "Commit", calls: int = 10) -> list[int]:
    """The numbers of the calls that are spoiled."""
    return [number for number in range(1, calls + 1) if script.decide(method) is not None]


def script_of(*rules: Mapping[str, object]) -> Script:
    script = Script()
    script.replace(rules)
    return script


def test_without_rules_nothing_is_spoiled() -> None:
    script = Script()
    assert struck(script) == []
    assert script.report() == {"calls": {"Commit": 10}, "rules": []}


def test_a_rule_strikes_the_calls_it_names_of_its_method() -> None:
    script = script_of({"fault": "response_lost", "method": "Commit", "calls": [2, 5]})
    assert struck(script, "Lookup") == []
    assert struck(script) == [2, 5]
    assert script.report()["rules"] == [
        {"fault": "response_lost", "method": "Commit", "seen": 10, "struck": 2}
    ]


def test_a_rule_may_strike_every_third_call_so_many_times() -> None:
    assert struck(script_of({"fault": "request_lost", "every": 3})) == [3, 6, 9]
    assert struck(script_of({"fault": "request_lost", "every": 3, "times": 2})) == [3, 6]


def test_a_rule_without_conditions_strikes_always() -> None:
    assert struck(script_of({"fault": "request_lost", "times": 4})) == [1, 2, 3, 4]


def test_chance_is_repeatable() -> None:
    rule = {"fault": "request_lost", "probability": 0.3, "seed": 7}
    first, second = struck(script_of(rule), calls=200), struck(script_of(rule), calls=200)
    assert first == second
    assert 30 < len(first) < 90
    assert struck(script_of({**rule, "seed": 8}), calls=200) != first


def test_a_rule_may_end_after_a_while() -> None:
    now = [100.0]
    script = Script(lambda: now[0])
    script.replace([{"fault": "request_lost", "for_seconds": 2}])
    assert script.decide("Commit") is not None
    now[0] += 2.1
    assert script.decide("Commit") is None


def test_the_first_rule_that_strikes_decides() -> None:
    script = script_of({"fault": "delay", "calls": [1], "delay_seconds": 1}, {"fault": "request_lost"})
    kinds = [rule.fault for rule in (script.decide("Commit"), script.decide("Commit")) if rule]
    assert kinds == [Kind.DELAY, Kind.REQUEST_LOST]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({}, "rule 1, fault: None; expected one of request_lost"),
        ({"fault": "sabotage"}, "rule 1, fault: 'sabotage'"),
        ({"fault": "delay", "bogus": 1}, "rule 1: unknown key 'bogus'; known are fault"),
        ({"fault": "delay", "times": "x"}, "rule 1, times: 'x' is of the wrong type"),
        ({"fault": "delay", "times": True}, "rule 1, times: True is of the wrong type"),
        ({"fault": "delay", "code": "OK"}, "rule 1, code: 'OK'; expected one of UNAVAILABLE"),
        ({"fault": "delay", "probability": 2}, "probability from 0 to 1"),
        ({"fault": "delay", "every": 0}, "every is 1 or more"),
        ("delay", "rule 1: expected an object"),
    ],
)
def test_a_mistake_names_the_rule_and_changes_nothing(rule: dict[str, object], expected: str) -> None:
    script = script_of({"fault": "request_lost"})
    with pytest.raises(ScriptError) as caught:
        script.replace([rule])
    assert expected in str(caught.value)
    assert struck(script, calls=1) == [1]
