"""Convert messages to plain data, which survives upgrades and restarts, and back to messages.

Pickled message objects do not survive. They break when a release of Django changes its classes,
and they contain any attribute that the caller has set on them.
"""

import email
import email.policy
import email.utils
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from email.message import Message
from email.mime.base import MIMEBase
from enum import Enum
from hashlib import sha256
from typing import Any
from uuid import UUID

import django
from django.conf import settings
from django.core.mail import (
    DNS_NAME,
    EmailAlternative,
    EmailAttachment,
    EmailMessage,
    EmailMultiAlternatives,
    make_msgid,
)
from django.utils import timezone
from django.utils.functional import Promise

Plain = dict[str, Any]

DJANGO_CLASSES = (EmailMessage, EmailMultiAlternatives)
ATOMS = (
    *(type(None), bool, int, float, bytes),
    *(datetime, date, time, timedelta, Decimal, UUID),
)
CONNECTIONS = {"connection", "_connection"}
# Django 6.0 and later take parts of Python's modern email API, older releases those of the old one.
MODERN_PARTS = django.VERSION >= (6, 0)


class NotPlain(Exception):
    """A value that has no plain form."""


def to_plain(message: EmailMessage) -> Plain:
    """Return a message as dicts, lists, str and bytes, with a fixed Message-ID and Date.

    Attributes that other packages set on a message (tags, template_id, …) are kept if they are
    plain. A subclass of Django's classes, or a message with a part that is not plain, is also
    rendered, and later sent as rendered here. Raises what rendering raises.
    """
    as_is = type(message) in DJANGO_CLASSES
    plain: Plain = {"stamp": {}, "rendered": None, "recipients": None}
    for name, (convert, missing) in FIELDS.items():
        try:
            plain[name] = convert(getattr(message, name, missing))
        except NotPlain:
            plain[name], as_is = missing, False
    plain["extra"] = _extra_attributes(message)

    absent = _absent_stamps(plain["extra_headers"])
    if as_is:
        plain["stamp"] = {name: STAMPS[name]() for name in absent}
        from_plain(plain).message()
        return plain

    plain["rendered"] = message.message().as_bytes()
    plain["recipients"] = [_simple(address) for address in message.recipients()]
    rendered = email.message_from_bytes(plain["rendered"], policy=email.policy.default)
    plain["stamp"] = {name: _text(rendered[name]) for name in absent if rendered[name]}
    return plain


def from_plain(plain: Plain) -> EmailMultiAlternatives:
    """Return a message that renders like the one that was passed to `to_plain`."""
    if plain["rendered"] is None:
        message = EmailMultiAlternatives()
    else:
        message = RenderedMessage(plain["rendered"], plain["recipients"])
    attributes = vars(message)
    attributes.update({name: plain[name] for name in FIELDS})
    attributes.update(plain["extra"])
    message.extra_headers = {**plain["extra_headers"], **plain["stamp"]}
    message.alternatives = [EmailAlternative(*each) for each in plain["alternatives"]]
    message.attachments = [_attachment(each) for each in plain["attachments"]]
    return message


def identity(messages: Iterable[Plain], mailer: str | None = None) -> list[Any]:
    """Return a value that is equal for two calls that send the same mail.

    It leaves out Message-ID, Date and the boundaries between parts, which Django makes up anew
    for each message.
    """
    return [mailer, *(_without_chance(plain) for plain in messages)]


class RenderedMessage(EmailMultiAlternatives):
    """A message that was rendered when it was queued, with its envelope."""

    def __init__(self, rendered: bytes, recipients: list[str]) -> None:
        super().__init__()
        self._rendered = rendered
        self._recipients = recipients

    def recipients(self) -> list[str]:
        return self._recipients

    def message(self, *, policy: Any = email.policy.default) -> Any:
        parsed = email.message_from_bytes(self._rendered, _class=Verbatim, policy=policy)
        parsed.stored = self._rendered
        return parsed


class Verbatim(email.message.EmailMessage):
    """A parsed message that is written exactly as it was read."""

    stored: bytes | None = None

    def as_bytes(
        self, unixfrom: bool = False, policy: Any = None, linesep: str | None = None
    ) -> bytes:
        if self.stored is None:
            return super().as_bytes(unixfrom, policy)
        ending = linesep or (policy or self.policy).linesep
        return re.sub(rb"\r\n|\r|\n", ending.encode(), self.stored)


class OldPart(MIMEBase):
    """A parsed attachment of the class that Django 5.2 expects."""

    def __init__(self, policy: Any = email.policy.compat32) -> None:
        # MIMEBase would add headers to the parsed ones.
        Message.__init__(self, policy=policy)


def _text(value: Any) -> str:
    # Texts from templates and translations are subclasses of str, and str() alone keeps those.
    return str.__str__(str(value))


def _simple(value: Any) -> Any:
    """Return a value that consists of plain types only, or raise `NotPlain`."""
    if type(value) in ATOMS:
        return value
    if isinstance(value, Enum):
        return _simple(value.value)
    if isinstance(value, str | Promise):
        return _text(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, Mapping):
        return {_simple(key): _simple(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_simple(item) for item in value]
    if isinstance(value, set | frozenset):
        return {_simple(item) for item in value}
    raise NotPlain(type(value))


def _addresses(value: Any) -> list[Any]:
    return list(_simple(value))


def _headers(value: Mapping[Any, Any]) -> dict[str, Any]:
    headers = {}
    for name, item in value.items():
        try:
            headers[_text(name)] = _simple(item)
        except NotPlain:
            headers[_text(name)] = _text(item)
    return headers


def _alternatives(value: Iterable[Any]) -> list[Any]:
    return [_simple(list(alternative)) for alternative in value]


def _attachments(value: Iterable[Any]) -> list[Any]:
    """Return attachments as lists, and MIME parts as bytes."""
    return [
        attachment.as_bytes()
        if isinstance(attachment, Message)
        else [_content(item) for item in attachment]
        for attachment in value
    ]


def _content(value: Any) -> Any:
    if isinstance(value, EmailMessage):
        value = value.message()
    return value.as_bytes() if isinstance(value, Message) else _simple(value)


def _attachment(plain: Any) -> Any:
    if isinstance(plain, bytes):
        return _part(plain)
    if len(plain) != 3:
        return tuple(plain)
    name, content, kind = plain
    if isinstance(content, bytes) and str(kind).startswith("message/"):
        content = _part(content)
    return EmailAttachment(name, content, kind)


def _part(plain: bytes) -> Message:
    if MODERN_PARTS:
        return email.message_from_bytes(plain, policy=email.policy.default)
    return email.message_from_bytes(plain, OldPart)


def _extra_attributes(message: Any) -> dict[str, Any]:
    extra = {}
    for name, value in vars(message).items():
        if name in FIELDS or name in CONNECTIONS or name.startswith("_"):
            continue
        try:
            extra[name] = _simple(value)
        except NotPlain:
            continue  # such as a request or a connection, which is useless in another process
    return extra


def _absent_stamps(headers: Mapping[str, Any]) -> list[str]:
    present = {name.lower() for name in headers}
    return [name for name in STAMPS if name.lower() not in present]


def _new_message_id() -> str:
    return make_msgid(domain=str(DNS_NAME))


def _new_date() -> str:
    zone = timezone.get_current_timezone() if settings.EMAIL_USE_LOCALTIME else UTC
    return email.utils.format_datetime(datetime.now(zone))


def _without_chance(plain: Plain) -> Plain:
    rendered, attachments = plain["rendered"], plain["attachments"]
    return {
        **plain,
        "stamp": None,
        "rendered": rendered and _digest(_neutral(rendered, plain["stamp"])),
        "attachments": [
            _digest(_neutral(each)) if isinstance(each, bytes) else [_digest(item) for item in each]
            for each in attachments
        ],
    }


def _digest(value: Any) -> Any:
    return sha256(value).hexdigest() if isinstance(value, bytes) else value


def _neutral(rendered: bytes, without: Iterable[str] = ()) -> bytes:
    """Return a rendered message without some headers, and with its boundaries numbered."""
    parsed = email.message_from_bytes(rendered)
    for name in without:
        del parsed[name]
    text = parsed.as_bytes()
    for number, part in enumerate(parsed.walk()):
        boundary = part.get_boundary()
        if boundary:
            text = text.replace(boundary.encode(), b"boundary %d" % number)
    return text


# Each attribute of a message: its conversion to plain data, and its value if a pickle lacks it.
FIELDS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "subject": (_text, ""),
    "body": (_simple, ""),
    "from_email": (_text, ""),
    "to": (_addresses, []),
    "cc": (_addresses, []),
    "bcc": (_addresses, []),
    "reply_to": (_addresses, []),
    "extra_headers": (_headers, {}),
    "content_subtype": (_simple, "plain"),
    "encoding": (_simple, None),
    "alternatives": (_alternatives, []),
    "attachments": (_attachments, []),
}
# Headers that Django makes up. They are fixed here, so that a retry sends the same message.
STAMPS: dict[str, Callable[[], str]] = {"Message-ID": _new_message_id, "Date": _new_date}
