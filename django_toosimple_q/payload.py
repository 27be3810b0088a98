"""Pickle, sign and open what tasks take and return.

An envelope is `v1.<base64 pickle>.<base64 signature>`, or `v1z.` when the pickle is compressed.
The signature is made with SECRET_KEY (SECRET_KEY_FALLBACKS are tried in turn) and binds version,
field and task name, so that nobody who can only write to the database has anything unpickled that
this site did not pickle for that very field of that very task. It is checked before a byte is
decoded. It is keyed BLAKE2b (RFC 7693), a MAC by itself: HMAC-SHA256 takes five times as long for
payloads of this size, which was a tenth of what a small task costs.
"""

from binascii import b2a_base64
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b, sha256
from hmac import compare_digest
from pickle import HIGHEST_PROTOCOL
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.utils import timezone
from picklefield.fields import _ObjectWrapper, dbsafe_decode, dbsafe_encode

from django_toosimple_q import conf
from django_toosimple_q.exceptions import UnreadablePayload

PLAIN, COMPRESSED = "v1", "v1z"
COMPRESS_ABOVE_CHARACTERS = 4096
# Every version that we run on reads protocol 5; a fixed one keeps rows readable across them.
PROTOCOL = min(5, HIGHEST_PROTOCOL)
EMPTY = (dict, list)


@dataclass(frozen=True)
class Unreadable:
    """Stands for a stored value that was refused: the reason, never the content."""

    reason: str

    def __str__(self) -> str:
        return f"unreadable: {self.reason}"


def seal(value: Any, field: str, task_name: str) -> str:
    """Return the signed envelope of a value. Raises whatever pickling it raises."""
    if not value and type(value) in EMPTY:
        return _seal_empty(type(value), field, task_name)  # type: ignore[arg-type]
    return _seal(value, field, task_name)


@lru_cache(maxsize=4096)
def _seal_empty(kind: type, field: str, task_name: str) -> str:
    """Return the envelope that most calls have for their keyword arguments."""
    return _seal(kind(), field, task_name)


def _seal(value: Any, field: str, task_name: str) -> str:
    pickled = str(dbsafe_encode(value, pickle_protocol=PROTOCOL, copy=False))
    version = PLAIN
    if len(pickled) > COMPRESS_ABOVE_CHARACTERS:
        version = COMPRESSED
        pickled = str(dbsafe_encode(value, True, pickle_protocol=PROTOCOL, copy=False))
    return _sign(f"{version}.{pickled}", field, task_name)


def seal_unsigned(pickled: str, field: str, task_name: str) -> str:
    """Return the envelope of a pickle as django-toosimple-q 1.x stored it, without loading it."""
    return _sign(f"{PLAIN}.{pickled}", field, task_name)


def is_sealed(text: str) -> bool:
    """Tell whether a stored text is an envelope (base64 has no dot)."""
    return "." in text


def unseal(text: str, field: str, task_name: str) -> Any:
    """Return the value in an envelope.

    Raises `UnreadablePayload` when the signature does not match, or when the value cannot be
    unpickled any more (a class that moved).
    """
    for kind in EMPTY:
        if text == _seal_empty(kind, field, task_name):
            return kind()
    version, pickled = _verified(text, field, task_name)
    try:
        value = dbsafe_decode(pickled, version == COMPRESSED)
    except BaseException as error:  # unpickling runs the constructors of user classes
        if isinstance(error, KeyboardInterrupt):
            raise
        raise UnreadablePayload(
            f"{field}: cannot be unpickled: {type(error).__name__}: {error}"
        ) from error
    return value._obj if isinstance(value, _ObjectWrapper) else value


def _verified(text: str, field: str, task_name: str) -> tuple[str, str]:
    body, dot, signature = text.rpartition(".")
    if not dot:
        if _unsigned_accepted():
            return PLAIN, text
        raise UnreadablePayload(f"{field}: is not signed")
    given = signature.encode()
    for key in _keys():
        if compare_digest(given, _signature(key, body, field, task_name)):
            break
    else:
        raise UnreadablePayload(
            f"{field}: signature does not match. If SECRET_KEY was changed, "
            "put the old one into SECRET_KEY_FALLBACKS"
        )
    version, _, pickled = body.partition(".")
    if version not in (PLAIN, COMPRESSED):
        raise UnreadablePayload(f"{field}: version {version!r} is newer than this code")
    return version, pickled


def _sign(body: str, field: str, task_name: str) -> str:
    return f"{body}.{_signature(_keys()[0], body, field, task_name).decode()}"


def _signature(keyed: Any, body: str, field: str, task_name: str) -> bytes:
    # The length keeps a name from running over into the body.
    message = f"{field}:{len(task_name)}:{task_name}:{body}".encode("utf-8", "surrogatepass")
    mac = keyed.copy()
    mac.update(message)
    return b2a_base64(mac.digest(), newline=False)


@lru_cache(maxsize=1)
def _keys() -> tuple[Any, ...]:
    """Return hashes that have taken in the signing key, then those that are still accepted.

    The keys are salted for this use. A copy of such a hash saves each signature the block of key.
    """
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    raw = [secret if isinstance(secret, bytes) else str(secret).encode() for secret in secrets]
    keys = (sha256(b"django_toosimple_q.payload" + secret).digest() for secret in raw)
    return tuple(blake2b(key=key, digest_size=32) for key in keys)


def _unsigned_accepted() -> bool:
    until = conf.get("TOOSIMPLEQ_ACCEPT_UNSIGNED_UNTIL")
    return until is not None and timezone.now() < until


def _forget_keys(*, setting: str, **kwargs: Any) -> None:
    if setting in ("SECRET_KEY", "SECRET_KEY_FALLBACKS"):
        _keys.cache_clear()
        _seal_empty.cache_clear()


setting_changed.connect(_forget_keys)
