"""What JSON makes of a value: what the framework promises that arguments and results become."""

import json
from collections.abc import Callable
from typing import Any

# They come back from JSON as they are.
UNCHANGED = frozenset({type(None), bool, int, str})


def normal(value: Any, normalize_json: Callable[[Any], Any]) -> Any:
    """Return the value as JSON gives it back.

    Raises TypeError or ValueError for what JSON cannot hold. The framework's own normalisation
    lets through what JSON then changes or refuses: NaN, keys that are no text, texts of an enum.
    """
    if type(value) in UNCHANGED:
        return value
    try:
        return json.loads(json.dumps(normalize_json(value), allow_nan=False))
    except RecursionError as error:
        raise ValueError(
            "Unsupported value: it is nested too deeply, or contains itself. Pass ids instead."
        ) from error


def shown(value: Any, normalize_json: Callable[[Any], Any]) -> Any:
    """Return the value for display: what JSON cannot hold (a schedule's datetime) as text."""
    try:
        return normal(value, normalize_json)
    except (TypeError, ValueError):
        return json.loads(json.dumps(value, default=str, skipkeys=True))
