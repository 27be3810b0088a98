"""Convert values to what JSON returns for them, as the framework promises for its callers."""

import json
import math
from collections.abc import Callable
from typing import Any

UNCHANGED = frozenset({type(None), bool, str})
# Python refuses to convert integers of thousands of digits to text.
LARGEST_BITS = 1024
DEPTH = 10


def normal(value: Any, normalize_json: Callable[[Any], Any]) -> Any:
    """Return the value as it comes back from JSON.

    Raises TypeError or ValueError for what JSON cannot hold. The framework's own normalisation
    accepts values that JSON then changes or refuses: NaN, keys that are not text, and enum texts.
    """
    if is_plain(value):
        return value
    try:
        return json.loads(json.dumps(normalize_json(value), allow_nan=False))
    except RecursionError as error:
        raise ValueError(
            "Unsupported value: it is nested too deeply, or it contains itself. Pass ids instead."
        ) from error


def is_plain(value: Any, depth: int = DEPTH) -> bool:
    """Return whether a value is certain to come back from JSON unchanged."""
    kind = type(value)
    if kind in UNCHANGED:
        return True
    if kind is int:
        return bool(value.bit_length() <= LARGEST_BITS)
    if kind is float:
        return math.isfinite(value)
    if kind is list and depth:
        return all(is_plain(item, depth - 1) for item in value)
    if kind is dict and depth:
        return all(type(key) is str and is_plain(item, depth - 1) for key, item in value.items())
    return False


def shown(value: Any, normalize_json: Callable[[Any], Any]) -> Any:
    """Return the value for display, with text in place of what JSON cannot hold."""
    try:
        return normal(value, normalize_json)
    except (TypeError, ValueError):
        return json.loads(json.dumps(value, default=str, skipkeys=True))
