"""Placeholder until the real module lands."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True)
class Cron:
    text: str
    timezone: object
    hash_id: str = ""

    @classmethod
    def parse(cls, text, timezone, hash_id=""):
        return cls(text, timezone, hash_id)

    @property
    def manual(self):
        return self.text == "manual"

    def _it(self, at):
        from croniter import croniter

        return croniter(self.text, at.astimezone(self.timezone))

    @property
    def suspicious(self):
        return None

    def next(self, after):
        return self._it(after).get_next(datetime).astimezone(UTC)

    def latest(self, before):
        return self._it(before + timedelta(microseconds=1)).get_prev(datetime).astimezone(UTC)

    def between(self, after, until):
        while (after := self.next(after)) <= until:
            yield after
