"""A small model of follow-ups: what may happen between a parent's commit and its follow-ups' effects.

`explore` visits every state that crashes, parallel deliveries, lost answers, expired names and age can lead
to, within a budget of each, and tells which promise is broken in one of them, if any.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

FOLLOW_UPS = 2


@dataclass(frozen=True)
class Rules:
    """The design; each rule can be left out, to see that the model notices."""

    stored_with_record: bool = True
    """They are stored in the parent's transaction, and read from there; else only the writer knows them."""
    every_delivery_creates: bool = True
    """A delivery that finds the record creates them, too; else only the one that wrote it."""
    created_before_answer: bool = True
    """They are created before the parent is answered 2xx; else after."""
    own_record: bool = True
    """A follow-up has a record of its own, which makes a second creation harmless."""
    none_when_old: bool = True
    """None is created once the parent's record is older than its life less a day."""


@dataclass(frozen=True)
class FollowUp:
    name: str = "free"
    """Its name in the queue: free, pending, or taken (done or deleted a while ago)."""
    has_record: bool = False
    effects: int = 0


@dataclass(frozen=True)
class Delivery:
    """A delivery of the parent that is under way: what it will do next."""

    step: str = "commit"
    wrote: bool = False
    next_up: int = 0


@dataclass(frozen=True)
class State:
    parent_pending: bool = True
    recorded: bool = False
    old: bool = False
    deliveries: tuple[Delivery, ...] = ()
    ups: tuple[FollowUp, ...] = (FollowUp(),) * FOLLOW_UPS
    crashes: int = 2
    losses: int = 2
    expiries: int = 2
    starts: int = 3


def explore(rules: Rules) -> tuple[str, int]:
    """The first broken promise (empty if none), and how many states were visited."""
    seen = {State()}
    frontier = [State()]
    while frontier:
        state = frontier.pop()
        following = set(_after(state, rules))
        broken = _broken(state)
        if broken:
            return broken, len(seen)
        new = following - seen
        seen |= new
        frontier.extend(new)
    return "", len(seen)


def _broken(state: State) -> str:
    if any(up.effects > 1 for up in state.ups):
        return "a follow-up took effect twice"
    if not state.recorded and any(up.effects or up.name == "pending" for up in state.ups):
        return "a follow-up without its parent"
    at_rest = not (state.parent_pending or state.deliveries or any(up.name == "pending" for up in state.ups))
    if at_rest and not state.old and any(not up.effects for up in state.ups):
        return "a follow-up was lost"
    return ""


def _after(state: State, rules: Rules) -> Iterator[State]:
    if state.parent_pending and len(state.deliveries) < 2 and state.starts:
        yield replace(state, deliveries=(*state.deliveries, Delivery()), starts=state.starts - 1)
    for place, delivery in enumerate(state.deliveries):
        others = state.deliveries[:place] + state.deliveries[place + 1 :]
        if state.crashes:
            yield _queue_asks_again(replace(state, deliveries=others, crashes=state.crashes - 1))
        for follows in _of_delivery(state, delivery, rules):
            ended, rest = follows
            deliveries = others if ended is None else (*others, ended)
            yield replace(rest, deliveries=tuple(sorted(deliveries, key=repr)))
    for place, up in enumerate(state.ups):
        if up.name == "pending":
            applies = not (rules.own_record and up.has_record)
            done = FollowUp("taken", up.has_record or rules.own_record, up.effects + applies)
            yield _with(state, place, done)
        if up.name == "taken" and state.expiries:
            # Cloud Tasks frees a name after a while; records of what is young enough to be created live on.
            yield replace(_with(state, place, replace(up, name="free")), expiries=state.expiries - 1)
        if up.has_record and state.old and up.name != "pending":
            yield _with(state, place, replace(up, has_record=False))
    if state.recorded and not state.old:
        yield replace(state, old=True)


def _of_delivery(state: State, delivery: Delivery, rules: Rules) -> Iterator[tuple[Delivery | None, State]]:
    """What a delivery's next step leads to: the delivery (None: ended), and the rest of the state."""
    if delivery.step == "commit":
        wrote = not state.recorded
        creates = wrote or rules.every_delivery_creates
        knows = wrote or rules.stored_with_record
        first = "create" if creates and knows else "answer"
        after = first if rules.created_before_answer else "answer"
        yield Delivery(after, wrote), replace(state, recorded=True)
        if state.losses:  # the commit's answer is lost: 500, after it has happened
            yield None, _queue_asks_again(replace(state, recorded=True, losses=state.losses - 1))
    elif delivery.step == "create":
        if delivery.next_up == FOLLOW_UPS or (state.old and rules.none_when_old):
            after = "answer" if rules.created_before_answer else "end"
            yield replace(delivery, step=after), state
            return
        created = state
        if state.ups[delivery.next_up].name == "free":
            up = replace(state.ups[delivery.next_up], name="pending")
            created = _with(state, delivery.next_up, up)
        yield replace(delivery, next_up=delivery.next_up + 1), created
        if state.losses:  # the creation's answer is lost, or the request was
            lost = _queue_asks_again(replace(state, losses=state.losses - 1))
            yield None, lost
            yield None, replace(lost, ups=created.ups)
    elif delivery.step == "answer":
        follows = Delivery("create", delivery.wrote) if not rules.created_before_answer else None
        yield follows, replace(state, parent_pending=False)
    else:
        yield None, state


def _queue_asks_again(state: State) -> State:
    """A failed delivery leaves its task pending; there is always another attempt."""
    return replace(state, starts=state.starts + 1) if state.parent_pending else state


def _with(state: State, place: int, up: FollowUp) -> State:
    return replace(state, ups=(*state.ups[:place], up, *state.ups[place + 1 :]))
