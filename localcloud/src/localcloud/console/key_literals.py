"""A key as GQL writes it: `KEY(NAMESPACE('eu'), Counter, 'visits', Shard, 5)`.

More is read than is written: kinds in quotes, a path without `KEY( )`, one for people (`Counter 'visits' /
Shard 5`), and what Python's clients print (`Key('Counter', 'visits', namespace='eu')`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from localcloud.console.errors import Problem
from localcloud.datastore.messages import Key

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>-?\d+)(?![\w.])
    | (?P<identifier>[A-Za-z_][A-Za-z0-9_]*)
    | `(?P<quoted>(?:[^`]|``)*)`
    | '(?P<single>(?:[^'\\]|\\.)*)'
    | "(?P<double>(?:[^"\\]|\\.)*)"
    | (?P<sign>[(),=/]) )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0", "\b": "\\b"}
_UNESCAPES = {"n": "\n", "r": "\r", "t": "\t", "0": "\0", "b": "\b", "Z": "\x1a"}
_PARTS = {"PROJECT": "project_id", "DATASET": "project_id", "APP": "project_id", "DATABASE": "database_id"}
_PARTS["NAMESPACE"] = "namespace_id"

Token = tuple[str, str]


def key_literal(key: Any, *, told: Any = None) -> str:
    """The key with its whole partition, or without what the partition `told` already says.

    We differ: GQL has no word for the database of a key; here it is DATABASE('...').
    """
    parts = []
    for word in ("PROJECT", "DATABASE", "NAMESPACE"):
        value = getattr(key.partition_id, _PARTS[word])
        if value != (getattr(told, _PARTS[word]) if told is not None else ""):
            parts.append(f"{word}({_quoted(value)})")
    for element in key.path:
        parts += _step(element)
    return f"KEY({', '.join(parts)})"


def path_text(key: Any) -> str:
    """For people: `Counter 'visits' / Shard 5`."""
    return " / ".join(" ".join(_step(element)) for element in key.path)


def parse_key_literal(text: str) -> Any:
    """A Key message; only what the text names of its partition is set. Raises Problem."""
    try:
        return _parse(list(_tokens(text)))
    except (ValueError, IndexError) as error:
        raise Problem(
            f"{text[:200]!r} is not a key{f' ({error})' if str(error) else ''}. "
            "Expected one such as KEY(Kind, 5) or KEY(NAMESPACE('n'), Kind, 'name')."
        ) from None


def _parse(tokens: list[Token]) -> Any:
    key = Key()
    if tokens[0][0] == "identifier" and tokens[0][1].upper() == "KEY" and tokens[1] == ("sign", "("):
        if tokens[-1] != ("sign", ")"):
            raise ValueError("no ) at its end")
        tokens = tokens[2:-1]
    items = _items(tokens)
    position = 0
    while position < len(items):
        item = items[position]
        position += 1
        name = item[0][1].upper()
        if len(item) > 1:  # NAMESPACE('n') or namespace='n'
            values = [token for token in item[1:] if token[0] != "sign"]
            if item[0][0] != "identifier" or name not in _PARTS or len(values) != 1:
                raise ValueError(f"{item[0][1]!r} is unknown here")
            if values[0] != ("identifier", "None"):
                setattr(key.partition_id, _PARTS[name], _string(values[0]))
            continue
        if item[0][0] == "number":
            raise ValueError("a kind is missing")
        element = key.path.add(kind=_string(item[0]))
        if position < len(items) and len(items[position]) == 1:
            kind, value = items[position][0]
            position += 1
            if kind == "number":
                element.id = int(value)
            elif value != "None":
                element.name = _string((kind, value))
    if not key.path:
        raise ValueError("it has no path")
    return key


def _step(element: Any) -> list[str]:
    is_plain = _IDENTIFIER.fullmatch(element.kind) and element.kind.upper() not in (*_PARTS, "KEY")
    kind = element.kind if is_plain else "`" + element.kind.replace("`", "``") + "`"
    identifier = element.WhichOneof("id_type")
    if identifier is None:
        return [kind]
    return [kind, str(element.id) if identifier == "id" else _quoted(element.name)]


def _items(tokens: list[Token]) -> list[list[Token]]:
    """The tokens between the commas; between the kinds and the names of a path there may be none."""
    items: list[list[Token]] = [[]]
    for token in tokens:
        if token in (("sign", ","), ("sign", "/")):
            items.append([])
        elif len(items[-1]) == 1 and token[0] != "sign":
            items.append([token])
        else:
            items[-1].append(token)
    if not items[-1]:  # a comma at the end, as in a Python tuple
        items.pop()
    if not all(items):
        raise ValueError("a comma too many")
    return items


def _tokens(text: str) -> Iterator[Token]:
    text = text.rstrip()
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None or found.lastgroup is None:
            raise ValueError(f"at {text[position : position + 20]!r}")
        yield found.lastgroup, found[found.lastgroup]
        position = found.end()


def _string(token: Token) -> str:
    kind, text = token
    if kind == "quoted":
        return text.replace("``", "`")
    if kind in ("single", "double"):
        return re.sub(r"\\(.)", lambda match: _UNESCAPES.get(match[1], match[1]), text, flags=re.DOTALL)
    if kind == "identifier":
        return text
    raise ValueError(f"{text!r} is not a name")


def _quoted(text: str) -> str:
    return "'" + "".join(_ESCAPES.get(character, character) for character in text) + "'"
