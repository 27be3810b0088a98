"""Classify errors of sending: what they mean for the message and for the connection."""

import smtplib
from typing import Any

# The server wants (other) credentials. The project must fix that; the message may be fine.
AUTHENTICATION_CODES = frozenset({530, 534, 535, 538})
CLOSING = 421


def is_permanent(error: BaseException) -> bool:
    """Return whether the server permanently refused a message for all its recipients (5xx)."""
    codes = _codes(error)
    return bool(codes) and all(
        500 <= code < 600 and code not in AUTHENTICATION_CODES for code in codes
    )


def is_answer(error: BaseException) -> bool:
    """Return whether the error was an answer to one message, so the connection is still usable."""
    if isinstance(error, OSError):
        codes = _codes(error)
        return bool(codes) and CLOSING not in codes
    return True


def _codes(error: BaseException) -> list[int]:
    replies: list[Any] = []
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        replies = [reply[0] for reply in error.recipients.values()]
    elif isinstance(error, smtplib.SMTPResponseException):
        replies = [error.smtp_code]
    return [int(code) for code in replies]
