"""Pickle, sign and open what tasks take and return.

An envelope is `v1.<tag>.<base64 pickle>.<base64 signature>`, or `v1z.` when the pickle is
compressed; in `v1s.` and `v1sz.` there are arguments that are not shown. The tag is a hash of the
task's name. The signature is made with SECRET_KEY (SECRET_KEY_FALLBACKS are tried in turn) and
binds version, field, tag and content, so that nobody who can only write to the database has
anything unpickled that this site did not pickle for that very field of that very task. Where a
value is read without its row's name, as by `values()`, the signature alone has to be right. It is
checked before a byte is decoded. It is keyed BLAKE2b (RFC 7693), a MAC by itself: HMAC-SHA256 takes
five times as long for payloads of this size, which was a tenth of what a small task costs.
"""

from base64 import b64decode
from binascii import b2a_base64
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b, sha256
from hmac import compare_digest
from pickle import HIGHEST_PROTOCOL, dumps
from typing import Any
from zlib import compress, decompress

from django.conf import settings
from django.core.signals import setting_changed
from django.db import DatabaseError
from picklefield.fields import _ObjectWrapper, dbsafe_decode

from django_toosimple_q import conf, references
from django_toosimple_q.exceptions import (
    RowGone,
    TaskInterrupted,
    TaskTimeout,
    UnreadablePayload,
    kind_of,
    said,
)
from django_toosimple_q.moments import current_moment

PLAIN, COMPRESSED = "v1", "v1z"
SENSITIVE, SENSITIVE_COMPRESSED = "v1s", "v1sz"
VERSIONS = (PLAIN, COMPRESSED, SENSITIVE, SENSITIVE_COMPRESSED)
PREFIXES = tuple(f"{version}." for version in VERSIONS)
COMPRESS_ABOVE_CHARACTERS = 4096
# Every version that we run on reads protocol 5; a fixed one keeps rows readable across them.
PROTOCOL = min(5, HIGHEST_PROTOCOL)
EMPTY = (dict, list)
RESULT = "result"
# Without padding in base64. A name is chosen in the code, so nobody can look for one that collides.
TAG_BYTES = 12


@dataclass(frozen=True)
class Unreadable:
    """Stands for a stored value that was refused: the reason, never the content."""

    reason: str

    def __str__(self) -> str:
        return f"unreadable: {self.reason}"


def seal(value: Any, field: str, task_name: str, *, sensitive: bool = False) -> str:
    """Return the signed envelope of a value. Raises whatever pickling it raises.

    `sensitive` notes in it that the value is not to be shown; it is not encrypted.
    """
    if not value and type(value) in EMPTY:
        return _seal_empty(type(value), field, task_name)  # type: ignore[arg-type]
    return _seal(value, field, task_name, sensitive)


@lru_cache(maxsize=4096)
def _seal_empty(kind: type, field: str, task_name: str) -> str:
    """Return the envelope that most calls have for their keyword arguments."""
    return _seal(kind(), field, task_name)


def _seal(value: Any, field: str, task_name: str, sensitive: bool = False) -> str:
    # A result is what the task returned; a row in it is kept as it was then.
    pickled = dumps(value, PROTOCOL) if field == RESULT else references.dumps(value, PROTOCOL)
    text = b2a_base64(pickled, newline=False).decode()
    if len(text) <= COMPRESS_ABOVE_CHARACTERS:
        return _sign(f"{SENSITIVE if sensitive else PLAIN}.{tag_of(task_name)}.{text}", field)
    text = b2a_base64(compress(pickled), newline=False).decode()
    version = SENSITIVE_COMPRESSED if sensitive else COMPRESSED
    return _sign(f"{version}.{tag_of(task_name)}.{text}", field)


def seal_unsigned(pickled: str, field: str, task_name: str) -> str:
    """Return the envelope of a pickle as django-toosimple-q 1.x stored it, without loading it."""
    return _sign(f"{PLAIN}.{tag_of(task_name)}.{pickled}", field)


def is_sealed(text: str) -> bool:
    """Return whether a stored text is an envelope (base64 has no dot)."""
    return "." in text


def is_sensitive(text: str) -> bool:
    """Return whether a stored text is the envelope of a value that is not to be shown."""
    return text.partition(".")[0] in (SENSITIVE, SENSITIVE_COMPRESSED)


@lru_cache(maxsize=4096)
def tag_of(task_name: str) -> str:
    """Return what stands for a task's name in its envelopes."""
    name = task_name.encode("utf-8", "surrogatepass")
    return b2a_base64(blake2b(name, digest_size=TAG_BYTES).digest(), newline=False).decode()


def unseal(text: str, field: str, task_name: str | None) -> Any:
    """Return the value in an envelope; its task is checked unless `task_name` is None.

    Raises `UnreadablePayload` when the signature does not match, or when the value cannot be
    unpickled any more (a class that moved). Where rows of models are loaded, also `RowGone` and
    what their database raises.
    """
    if task_name is not None:
        for kind in EMPTY:
            if text == _seal_empty(kind, field, task_name):
                return kind()
    version, pickled = _verified(text, field, task_name)
    try:
        value = dbsafe_decode(pickled, version in (COMPRESSED, SENSITIVE_COMPRESSED))
    except (KeyboardInterrupt, TaskInterrupted, TaskTimeout, RowGone, DatabaseError):
        raise
    except BaseException as error:  # unpickling runs the constructors of user classes
        reason = kind_of(error) if is_sensitive(text) else said(error)
        raise UnreadablePayload(f"{field}: cannot be unpickled: {reason}") from error
    return value._obj if isinstance(value, _ObjectWrapper) else value


def pickled(text: str, field: str, task_name: str) -> bytes:
    """Return the pickle in an envelope without loading it. Raises `UnreadablePayload`."""
    version, encoded = _verified(text, field, task_name)
    content = b64decode(encoded)
    return decompress(content) if version in (COMPRESSED, SENSITIVE_COMPRESSED) else content


def is_signed(text: str, field: str, task_name: str) -> bool:
    """Return whether a stored text is an envelope of this site, without opening it."""
    if not is_sealed(text):
        return False
    try:
        _verified(text, field, task_name)
    except UnreadablePayload:
        return False
    return True


def _verified(text: str, field: str, task_name: str | None) -> tuple[str, str]:
    body, dot, signature = text.rpartition(".")
    if not dot:
        if _unsigned_accepted():
            return PLAIN, text
        raise UnreadablePayload(f"{field}: is not signed")
    given = signature.encode()
    for key in _keys():
        if compare_digest(given, _signature(key, body, field)):
            break
    else:
        raise UnreadablePayload(
            f"{field}: signature does not match. If SECRET_KEY was changed, "
            "put the old one into SECRET_KEY_FALLBACKS"
        )
    version, _, tagged = body.partition(".")
    if version not in VERSIONS:
        raise UnreadablePayload(f"{field}: version {version!r} is newer than this code")
    tag, _, pickled = tagged.partition(".")
    if task_name is not None and tag != tag_of(task_name):
        raise UnreadablePayload(f"{field}: signature does not match, it is that of another task")
    return version, pickled


def _sign(body: str, field: str) -> str:
    return f"{body}.{_signature(_keys()[0], body, field).decode()}"


def _signature(keyed: Any, body: str, field: str) -> bytes:
    message = f"{field}:{body}".encode("utf-8", "surrogatepass")
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
    return until is not None and current_moment() < until


def _forget_keys(*, setting: str, **kwargs: Any) -> None:
    if setting in ("SECRET_KEY", "SECRET_KEY_FALLBACKS"):
        _keys.cache_clear()
        _seal_empty.cache_clear()


setting_changed.connect(_forget_keys)
