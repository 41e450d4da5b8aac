"""JSON inside a form parameter (a trigger's condition, an alert's basket), read with care.

Official clients send it as text. What is not of the expected shape is an ``InputException``.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from kitestring.domain.unreadable import UNREADABLE
from kitestring.exchange.desk.kite_error import input_error
from kitestring.exchange.desk.order_rows import Row

_decoder = msgspec.json.Decoder(strict=True)


def _decoded(text: str, name: str) -> object:
    try:
        found: object = _decoder.decode(text.encode("utf-8", "surrogatepass"))
    except UNREADABLE as error:
        raise input_error(f"Invalid `{name}`: JSON is expected.") from error
    return found


def object_at(text: str, name: str) -> Row:
    """A JSON object."""
    found = _decoded(text, name)
    if not isinstance(found, dict):
        raise input_error(f"Invalid `{name}`: a JSON object is expected.")
    return found


def objects_at(text: str, name: str) -> list[Row]:
    """A JSON list of objects."""
    found = _decoded(text, name)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise input_error(f"Invalid `{name}`: a JSON list of objects is expected.")
    return found


def text_at(row: Row, name: str, default: str | None = None) -> str:
    """A text of an object; ``None`` as default says that it is required."""
    found = row.get(name, default)
    if not isinstance(found, str) or (not found and default is None) or len(found) > 4_000:
        raise input_error(f"Missing or invalid `{name}`.")
    return found


def number_at(row: Row, name: str, default: int | None = None) -> Decimal:
    """A finite number of an object, also where a client quotes it."""
    found = row.get(name, default)
    if isinstance(found, str) and 0 < len(found) <= 40 and found.isascii():
        try:
            return _bounded(Decimal(found), name)
        except ArithmeticError as error:
            raise input_error(f"Invalid `{name}`: a number is expected.") from error
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise input_error(f"Missing or invalid `{name}`: a number is expected.")
    return _bounded(Decimal(repr(found)) if isinstance(found, float) else Decimal(found), name)


def _bounded(found: Decimal, name: str) -> Decimal:
    if not found.is_finite() or abs(found) > 10**15:
        raise input_error(f"Invalid `{name}`.")
    return found
