"""Doubles as text that parses back to the same 64 bits."""

from __future__ import annotations

import math
import re
import struct

from localcloud.console.errors import Problem

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_NAN_BITS = re.compile(r"NaN:([0-9a-f]{16})")
_NAMES = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_PLAIN_NAN = struct.pack(">d", math.nan)


def double_text(value: float) -> str:
    """`1.5`, `-0.0`, `Infinity`, `NaN`; a NaN with unusual bits shows them: `NaN:fff8000000000000`."""
    if math.isnan(value):
        bits = struct.pack(">d", value)
        return "NaN" if bits == _PLAIN_NAN else f"NaN:{bits.hex()}"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(value)


def parse_double(text: str) -> float:
    """The inverse of `double_text`; any decimal number will do. Raises Problem."""
    text = text.strip()
    if text in _NAMES:
        return _NAMES[text]
    bits = _NAN_BITS.fullmatch(text)
    if bits:
        value: float = struct.unpack(">d", bytes.fromhex(bits[1]))[0]
        if math.isnan(value):
            return value
    elif _NUMBER.fullmatch(text):
        value = float(text)
        if not math.isinf(value):
            return value
    raise Problem(f"{text!r} is not a double. Expected a number such as 1.5, NaN, Infinity or -Infinity.")
