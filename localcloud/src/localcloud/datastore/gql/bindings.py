"""What a GQL query's binding sites stand for: @name and @1."""

from __future__ import annotations

import re

from localcloud.datastore.errors import Refused, invalid
from localcloud.datastore.gql.lexer import Kind, Token, place
from localcloud.datastore.limits import is_reserved
from localcloud.datastore.messages import Message

_NAME = re.compile(r"[A-Za-z_$][A-Za-z_$0-9]*")


class Bindings:
    """The parameters of a GqlQuery message. Raises Refused for invalid names."""

    def __init__(self, gql: Message) -> None:
        self._text: str = gql.query_string
        self._named = gql.named_bindings
        self._numbered = gql.positional_bindings
        self._used: set[int] = set()
        for name in self._named:
            if not _NAME.fullmatch(name) or is_reserved(name):
                raise invalid(
                    f"GQL: the binding's name {name[:100]!r} is not allowed. "
                    "Expected letters, digits, _ and $, no digit first, and not __...__."
                )

    def value(self, site: Token) -> Message:
        """The Value bound to a site. Raises Refused."""
        parameter = self._parameter(site)
        if parameter.WhichOneof("parameter_type") == "cursor":
            raise self._refused(site, "is bound to a cursor. Expected a value.")
        return parameter.value

    def position(self, site: Token) -> int | bytes:
        """The number or the cursor bound to a site of LIMIT or OFFSET. Raises Refused."""
        parameter = self._parameter(site)
        if parameter.WhichOneof("parameter_type") == "cursor":
            cursor: bytes = parameter.cursor
            return cursor
        if parameter.value.WhichOneof("value_type") != "integer_value":
            raise self._refused(site, "is bound to something else. Expected an integer or a cursor.")
        number: int = parameter.value.integer_value
        return number

    def check_all_used(self) -> None:
        """Real service: every positional binding must have its site; named ones need none (GqlQuery)."""
        for number in range(1, len(self._numbered) + 1):
            if number not in self._used:
                raise invalid(f"GQL: the positional binding {number} has no site @{number} in the query.")

    def _parameter(self, site: Token) -> Message:
        if site.kind is Kind.NAMED_SITE:
            if site.content not in self._named:
                raise self._refused(site, "has no binding in named_bindings.")
            return self._named[site.content]
        number = int(site.content) if len(site.content) <= 100 else 0
        if not 1 <= number <= len(self._numbered):
            raise self._refused(
                site, f"has no binding. positional_bindings has {len(self._numbered)}, counted from @1."
            )
        self._used.add(number)
        return self._numbered[number - 1]

    def _refused(self, site: Token, what: str) -> Refused:
        return invalid(f"GQL, {place(self._text, site.position)}: {site.text[:100]} {what}")
