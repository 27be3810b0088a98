"""The course of a call: its attempts on one time line, and how long each waited and ran."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlencode

from django.urls import NoReverseMatch, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_toosimple_q.admin import markup
from django_toosimple_q.admin.dashboard.charts import percent
from django_toosimple_q.models import TaskExec
from django_toosimple_q.moments import aware
from django_toosimple_q.overview.spans import span
from django_toosimple_q.store.lookup import attempts_around

States = TaskExec.States
SHOWN = 20
# What is very short is drawn as wide as this part of the line, so that it can be seen.
NARROWEST = 0.006


class Spans(NamedTuple):
    """How long a call waited since it was due, and ran; None for what has not begun."""

    waited: timedelta | None
    ran: timedelta | None


class Stretch(NamedTuple):
    """A bar on the time line: "waited", "ran" or "due", its place and its width."""

    kind: str
    x: str
    width: str


@dataclass(frozen=True)
class Attempt:
    """An attempt as it is drawn. `url` is "" for the one whose page this is."""

    row: TaskExec
    url: str
    present: bool
    badge: SafeString
    stretches: Sequence[Stretch]
    text: str


@dataclass(frozen=True)
class Course:
    """The attempts of a call that are shown, how many are not, and where the line begins and ends.

    all_url: the list of all attempts. gone: the earlier ones were deleted.
    """

    attempts: Sequence[Attempt]
    earlier: int
    later: int
    gone: bool
    all_url: str
    begin: str
    end: str
    length: str


def spans_of(row: TaskExec, now: datetime) -> Spans:
    """Return how long an attempt waited and ran, until now if it still does."""
    due, now = _due(row, now), aware(now)
    started = None if row.started is None else aware(row.started)
    finished = None if row.finished is None else aware(row.finished)
    until = finished if row.state in States.done() else now
    if started is None:
        return Spans(None if until is None or until < due else until - due, None)
    zero = timedelta(0)
    return Spans(max(started - due, zero), None if until is None else max(until - started, zero))


def course_of(row: TaskExec, site: str, now: datetime) -> Course:
    """Return the attempts of the call of a row, as many as are shown."""
    rows, last = attempts_around(row, SHOWN)
    rows = rows or [row]
    moments = [one for each in rows for one in _moments(each, now)]
    begin, end = min(moments), max(moments)
    drawn = [_drawn(one, one.pk == row.pk, site, begin, end, now) for one in rows]
    return Course(
        attempts=drawn,
        earlier=max(rows[0].attempt - 1, 0),
        later=max(last - rows[-1].attempt, 0),
        gone=len(rows) < SHOWN,
        all_url=_url("changelist", site, q=f"#{row.root_id or row.pk}", attempts="all"),
        begin=_to_the_second(begin),
        end=_("now") if end == aware(now) else _to_the_second(end),
        length=span(end - begin),
    )


def in_words(row: TaskExec, now: datetime) -> str:
    """Return how long an attempt waited and ran, or when it is due."""
    spans, texts = spans_of(row, now), []
    waits, runs = row.state in (States.SLEEPING, States.QUEUED), row.state == States.PROCESSING
    if waits and _due(row, now) > aware(now):
        return _("due %s") % markup.away(row.due, now)
    if spans.waited is not None:
        text = _("has waited for %s") if waits else _("waited %s")
        texts.append(text % span(spans.waited))
    if spans.ran is not None:
        text = _("has run for %s") if runs else _("ran %s")
        texts.append(text % span(spans.ran))
    return ", ".join(texts)


def _moments(row: TaskExec, now: datetime) -> list[datetime]:
    ends = [row.started, row.finished] if row.state in States.done() else [row.started, now]
    return [_due(row, now), *(aware(one) for one in ends if one is not None)]


def _due(row: TaskExec, now: datetime) -> datetime:
    # Without one if the column cannot be read.
    return aware(row.due or row.created or now)


def _drawn(
    row: TaskExec, present: bool, site: str, begin: datetime, end: datetime, now: datetime
) -> Attempt:
    spans, due, length = spans_of(row, now), _due(row, now), end - begin
    stretches = []
    if spans.waited is not None:
        stretches.append(_stretch("waited", due - begin, spans.waited, length))
    if spans.ran is not None and row.started is not None:
        stretches.append(_stretch("ran", aware(row.started) - begin, spans.ran, length))
    if not stretches:
        stretches.append(_stretch("due", due - begin, timedelta(0), length))
    url = "" if present else _url("change", site, row.pk)
    return Attempt(row, url, present, markup.badge(row), stretches, in_words(row, now))


def _stretch(kind: str, after: timedelta, long: timedelta, length: timedelta) -> Stretch:
    width = max(long / length if length else 1.0, 0 if kind == "waited" else NARROWEST)
    x = min(after / length if length else 0.0, 1 - min(width, 1.0))
    return Stretch(kind, percent(x), percent(width))


def _to_the_second(moment: datetime) -> str:
    return f"{markup.local(moment):%Y-%m-%d %H:%M:%S}"


def _url(view: str, site: str, *args: int, **query: str) -> str:
    """Return the address of a page of calls, or "" if the site has none."""
    try:
        url = reverse(f"admin:toosimpleq_taskexec_{view}", args=args, current_app=site)
    except NoReverseMatch:
        return ""
    return f"{url}?{urlencode(query)}" if query else url
