"""The tokens of a GQL string."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from localcloud.datastore.errors import Refused, invalid

KEYWORDS = frozenset(
    {"select", "distinct", "on", "from", "where", "group", "having", "order", "by", "asc", "desc", "limit"}
    | {"offset", "and", "or", "not", "in", "is", "like", "between", "contains", "has", "ancestor"}
    | {"descendant", "null", "true", "false", "any", "all", "as", "join", "aggregate", "over", "count"}
    | {"count_up_to", "sum", "avg"}
)
"""Names that need backquotes, in lower case."""

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
    | (?P<name>(?:[^\W\d]|\$)[\w$]*)
    | (?P<quoted_name>`(?:[^`\\\n\r]|``|\\.)*`)
    | (?P<string>'(?:[^'\\\n\r]|''|\\.)*'|"(?:[^"\\\n\r]|""|\\.)*")
    | (?P<double>[+-]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]*)?|[+-]?[0-9]+[eE][+-]?[0-9]*)
    | (?P<integer>[+-]?[0-9]+)
    | (?P<named_site>@(?:[^\W\d]|\$)[\w$]*)
    | (?P<numbered_site>@[0-9]+)
    | (?P<symbol>!=|<=|>=|[<>=(),.*+])
    """,
    re.VERBOSE,
)
_ESCAPE = re.compile(r"''|\"\"|``|\\(.)")
_ESCAPED = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a"}
_ESCAPED |= {each: each for each in "\\'\"`"}
# These keep their backslash, as in MySQL, where it is for LIKE.
_ESCAPED |= {each: f"\\{each}" for each in "%_"}


class Kind(enum.Enum):
    """What a token is."""

    NAME = "name"
    QUOTED_NAME = "quoted_name"
    STRING = "string"
    DOUBLE = "double"
    INTEGER = "integer"
    NAMED_SITE = "named_site"
    NUMBERED_SITE = "numbered_site"
    SYMBOL = "symbol"
    END = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the string. `text` is as it stands there, `content` without quotes and escapes."""

    kind: Kind
    text: str
    content: str
    position: int

    @property
    def word(self) -> str:
        """In lower case, if it is a name without quotes or a symbol; no other token is equal to a word."""
        return self.text.lower() if self.kind in (Kind.NAME, Kind.SYMBOL) else ""

    @property
    def is_name(self) -> bool:
        """May it name a kind, a property or an alias?"""
        return self.kind is Kind.QUOTED_NAME or (self.kind is Kind.NAME and self.word not in KEYWORDS)


def tokens_of(text: str) -> list[Token]:
    """All tokens, and one for the end. Raises Refused."""
    found: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _unreadable(text, position)
        position = match.end()
        if match.lastgroup != "space":
            kind = Kind(match.lastgroup)
            found.append(Token(kind, match[0], _content(kind, match[0], text, match.start()), match.start()))
    found.append(Token(Kind.END, "", "", len(text)))
    return found


def place(text: str, position: int) -> str:
    """A position as people count: from 1."""
    before = text[:position]
    line = before.count("\n") + 1
    return f"line {line}, column {position - (before.rfind(chr(10)) + 1) + 1}"


def _content(kind: Kind, text: str, whole: str, position: int) -> str:
    if kind in (Kind.NAMED_SITE, Kind.NUMBERED_SITE):
        return text[1:]
    if kind not in (Kind.STRING, Kind.QUOTED_NAME):
        return text
    quote, inner = text[0], text[1:-1]
    pieces: list[str] = []
    end = 0
    for match in _ESCAPE.finditer(inner):
        pieces.append(inner[end : match.start()])
        end = match.end()
        if match[1] is None:
            # Another kind of quote stands for itself, even if doubled.
            pieces.append(quote if match[0][0] == quote else match[0])
        elif match[1] in _ESCAPED:
            pieces.append(_ESCAPED[match[1]])
        else:
            raise invalid(
                f"GQL, {place(whole, position + 1 + match.start())}: the escape \\{match[1]} is unknown. "
                "Expected one of \\\\ \\0 \\b \\n \\r \\t \\Z \\' \\\" \\` \\% \\_."
            )
    return "".join((*pieces, inner[end:]))


def _unreadable(text: str, position: int) -> Refused:
    character = text[position]
    where = place(text, position)
    if character in "'\"`":
        return invalid(f"GQL, {where}: the quote {character} is not closed on its line.")
    if character == "@":
        return invalid(f"GQL, {where}: @ needs a name or a number right after it.")
    return invalid(
        f"GQL, {where}: {character!r} is not expected here. Expected a name, a value or an operator; "
        "names with other characters need backquotes."
    )
