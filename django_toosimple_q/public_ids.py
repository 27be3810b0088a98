"""A call's UUID, made from its row and read back into it, so that no column has to hold it.

59 bits are a keyed tag over the first row's number, the task and the stored arguments; the other
63 are that number under a mask that the tag gives. So nobody without SECRET_KEY can guess an id
or read a number from it, all attempts of a call have one id, and the id of a row that was rolled
back does not fit the row that SQLite numbers the same.
"""

from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b, sha256
from typing import Any
from uuid import UUID

from django.conf import settings

SALT = b"django_toosimple_q.public_ids"
TAG_BITS, NUMBER_BITS = 59, 63
# The 62 bits after the variant, the 12 between version and variant, the 48 before the version.
LOW_BITS, MIDDLE_BITS = 62, 12
VERSION, VARIANT = 4 << 76, 2 << 62


def make_id(number: int, task_name: str, args: str, kwargs: str) -> str:
    """Return the id of a call: its first row's number, its task and its sealed arguments."""
    secret = str(settings.SECRET_KEY)
    tag = _tag(secret, number, task_name, args, kwargs)
    return str(_uuid(tag << NUMBER_BITS | number ^ _mask(secret, tag)))


def candidates(task_id: UUID) -> Iterator[int]:
    """Yield the row numbers that an id may stand for, one for each key that is in use."""
    tag, masked = divmod(_bits(task_id), 1 << NUMBER_BITS)
    for secret in _secrets():
        yield masked ^ _mask(secret, tag)


def fits(task_id: UUID, number: int, task_name: str, args: str, kwargs: str) -> bool:
    """Return whether an id is that of a call."""
    tag = _bits(task_id) >> NUMBER_BITS
    return any(tag == _tag(secret, number, task_name, args, kwargs) for secret in _secrets())


def _secrets() -> list[str]:
    return [str(secret) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]


def _tag(secret: str, number: int, task_name: str, args: str, kwargs: str) -> int:
    # The length keeps a name from running over into the arguments; an envelope has no line break.
    text = f"{number}:{len(task_name)}:{task_name}:{args}\n{kwargs}"
    return _digest(secret, f"tag {text}") >> (64 - TAG_BITS)


def _mask(secret: str, tag: int) -> int:
    return _digest(secret, f"mask {tag}") >> (64 - NUMBER_BITS)


def _digest(secret: str, text: str) -> int:
    mac = _keyed(secret).copy()
    mac.update(text.encode("utf-8", "surrogatepass"))
    return int.from_bytes(mac.digest(), "big")


@lru_cache(maxsize=16)
def _keyed(secret: str) -> Any:
    """Return a hash that has taken in the key, a copy of which saves each id that work."""
    return blake2b(key=sha256(SALT + secret.encode()).digest(), digest_size=8)


def _uuid(bits: int) -> UUID:
    low = bits & ((1 << LOW_BITS) - 1)
    middle = bits >> LOW_BITS & ((1 << MIDDLE_BITS) - 1)
    high = bits >> (LOW_BITS + MIDDLE_BITS)
    return UUID(int=high << 80 | VERSION | middle << 64 | VARIANT | low)


def _bits(task_id: UUID) -> int:
    low = task_id.int & ((1 << LOW_BITS) - 1)
    middle = task_id.int >> 64 & ((1 << MIDDLE_BITS) - 1)
    high = task_id.int >> 80
    return high << (LOW_BITS + MIDDLE_BITS) | middle << LOW_BITS | low
