"""Send messages over one connection and record which were sent. Does not know the queue."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django_toosimple_q.contrib.mail.connection import close, reopen
from django_toosimple_q.contrib.mail.message import Plain, from_plain
from django_toosimple_q.contrib.mail.refusal import is_answer

# A server may limit the messages per connection. Two lost connections in a row are an outage.
LOSSES = 2


@dataclass
class Delivery:
    """The messages of one call: waiting, sent or failed. It is up to date at every moment."""

    waiting: list[Plain]
    sent: int = 0
    failed: list[tuple[Plain, Exception]] = field(default_factory=list)

    @classmethod
    def of(cls, messages: Sequence[Plain]) -> "Delivery":
        return cls(list(messages))

    def run(self, backend: Any) -> None:
        """Send the waiting messages. Raises only if the first connection cannot be opened."""
        try:
            backend.open()
            self._send_all(backend)
        finally:
            close(backend)

    @property
    def unsent(self) -> list[Plain]:
        """Return the messages that were not sent, as far as can be known."""
        return [message for message, _ in self.failed] + self.waiting

    def _send_all(self, backend: Any) -> None:
        losses = 0
        while self.waiting:
            error = self._send_next(backend)
            if error is None:
                losses = 0
            elif not is_answer(error):
                losses += 1
                if losses == LOSSES or not (self.waiting and reopen(backend)):
                    return

    def _send_next(self, backend: Any) -> Exception | None:
        try:
            backend.send_messages([from_plain(self.waiting[0])])
        except Exception as error:
            self.failed.append((self.waiting.pop(0), error))
            return error
        self.waiting.pop(0)
        self.sent += 1
        return None
