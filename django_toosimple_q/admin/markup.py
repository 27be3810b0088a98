"""Format values for the admin: states, moments, durations, payloads. Everything is escaped."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.db.models import Model
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import conditional_escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from django_toosimple_q.admin import values
from django_toosimple_q.moments import aware
from django_toosimple_q.overview.spans import span
from django_toosimple_q.payload import Unreadable
from django_toosimple_q.progress import number, share
from django_toosimple_q.text import cut_middle, last_line, printable

NOTHING = SafeString("-")
PREVIEW_LENGTH = 255
TEXT_LENGTH = 100_000
# What a box shows without being scrolled, on a phone.
LINES_IN_VIEW, CHARACTERS_IN_VIEW = 15, 600
COMMAND = re.compile("`([^`]*)`")


def badge(row: Any) -> SafeString:
    """Return the state of a row."""
    state = str(row.state)
    label = dict(row.States.choices).get(state)
    if label is None:  # written by a newer release, or by hand
        return format_html('<span class="tsq-state">{}</span>', state)
    if row.__dict__.get("replaced_by_id") is not None:  # not asked for where it was not read
        return format_html(
            '<span class="tsq-state tsq-replaced">{}</span>',
            _("%(state)s, tried again") % {"state": label},
        )
    return format_html('<span class="tsq-state tsq-{}">{}</span>', state.lower(), label)


def link(row: Model, text: object, site: str) -> SafeString:
    """Return a link to the page of a row, or only the text if the site has no such page."""
    view = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    try:
        url = reverse(view, args=[row.pk], current_app=site)
    except NoReverseMatch:
        return format_html("{}", text)
    return format_html('<a href="{}">{}</a>', url, text)


def task_link(row: Model, site: str) -> SafeString:
    """Return a link to the row of a call, with its state."""
    return format_html("{} {}", link(row, f"#{row.pk}", site), badge(row))


def moment(value: datetime | None, now: datetime) -> SafeString:
    """Return a time relative to `now`, with the exact time in the title."""
    if value is None:
        return NOTHING
    shown = local(value)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        shown.isoformat(),
        exact(shown),
        away(value, now, units=1),
    )


def labelled(label: object, value: datetime | None, now: datetime) -> SafeString:
    """Return what happens at a time, and the time relative to `now`."""
    return format_html('<span class="tsq-when">{} {}</span>', label, moment(value, now))


def moment_in_full(value: datetime | None, now: datetime) -> SafeString:
    """Return a time with its offset, and how far from `now` it is."""
    if value is None:
        return NOTHING
    return and_away(local(value), now)


def and_away(value: datetime, now: datetime) -> SafeString:
    """Return a time in its own zone, and how far from `now` it is."""
    return format_html(
        '<time datetime="{}">{}</time> <span class="tsq-quiet">{}</span>',
        value.isoformat(),
        exact(value),
        away(value, now),
    )


def local(value: datetime) -> datetime:
    """Return a moment in the current zone; a naive one as it is."""
    return timezone.localtime(value) if timezone.is_aware(value) else value


def exact(value: datetime) -> str:
    """Return a datetime to the second, with the offset and name of its zone if it has one."""
    offset = value.strftime("%z")
    zone = f" {offset[:3]}:{offset[3:]} {value.strftime('%Z')}" if offset else ""
    return f"{value:%Y-%m-%d %H:%M:%S}{zone}"


def away(value: datetime, now: datetime, units: int = 2) -> str:
    """Return how far a datetime is from `now`, in words."""
    delta = aware(value) - aware(now)
    if abs(delta) < timedelta(seconds=1):
        return _("now")
    length = span(timedelta(seconds=int(abs(delta).total_seconds())), units)
    if delta > timedelta(0):
        return _("in %(length)s") % {"length": length}
    return _("%(length)s ago") % {"length": length}


def duration(length: timedelta | None, *, goes_on: bool = False) -> str:
    """Return a length of time in words, with "…" after one that is not over; "-" for None."""
    if length is None:
        return NOTHING
    return f"{span(length)} …" if goes_on else span(length)


def cut(text: str, length: int) -> str:
    """Return at most `length` characters, ending in "…" if the text was cut."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def progress(done: float | None, total: float | None, message: str | None) -> SafeString:
    """Return how far a task is, as a bar where that is known and as a text; empty without it."""
    if done is None:
        return SafeString("")
    text = number(done)
    if total is not None:
        text = _("%(number)s of %(total)s") % {"number": text, "total": number(total)}
    if message:
        text = f"{text}: {message}"
    part = share(done, total)
    if part is None:
        return format_html("{}", text)
    return format_html(
        '<progress class="tsq-progress" value="{}" aria-label="{}"></progress> {}',
        f"{part:.3f}",
        text,
        text,
    )


def stack(above: object, below: object) -> SafeString:
    """Return two lines for a table cell, the second one smaller and in a muted colour."""
    if not below:
        return format_html("{}", above)
    return format_html('{}<br><span class="tsq-below">{}</span>', above, below)


def name(text: object) -> str:
    """Return a text of one line as it is, with escapes for what a page obeys or hides."""
    return printable(str(text))


def call_in_list(task: str, arguments: str) -> SafeString:
    """Return the name of a task, and below it the beginning of its arguments."""
    called = format_html('<span class="tsq-name">{}</span>', task)
    if not arguments:
        return called
    return format_html('{}<span class="tsq-arguments">{}</span>', called, arguments)


def lines(first: object, *others: object) -> SafeString:
    """Return lines for a table cell, all but the first smaller and in a muted colour."""
    below = ((one,) for one in others if one)
    return format_html(
        "{}{}", first, format_html_join("", '<span class="tsq-line">{}</span>', below)
    )


def preview(text: str | None) -> SafeString:
    """Return the beginning of a text for a table cell."""
    if not text:
        return NOTHING
    text = cut(text, PREVIEW_LENGTH)
    return format_html('<span class="tsq-preview" title="{}">{}</span>', text, text)


def failure(error_type: str, text: str) -> SafeString:
    """Return the beginning of an error message, linked to all rows with the same error type."""
    return format_html('<a href="?{}">{}</a>', urlencode({"error_type": error_type}), preview(text))


def output(text: str | None) -> SafeString:
    """Return a text with its line breaks. The middle of a very long text is cut out."""
    if not text:
        return NOTHING
    return _boxed(cut_middle(text, TEXT_LENGTH))


def tail(text: str | None) -> SafeString:
    """Return the end of a text with its line breaks, scrolled to its end."""
    return format_html('<div class="tsq-tail" tabindex="0">{}</div>', output(text))


def work(row: Any) -> SafeString:
    """Return how far a running call is, and below it the last line that it has printed."""
    line = last_line(row.output_end or "")
    printed = format_html('<code class="tsq-last">{}</code>', printable(line)) if line else ""
    shown = progress(row.progress_done, row.progress_total, row.progress_message)
    return format_html("{}{}", shown, printed) or NOTHING


def value(stored: Any) -> SafeString:
    """Return a stored value as Python code, or the reason why it cannot be read."""
    if isinstance(stored, Unreadable):
        return warning(str(stored))
    return _boxed(values.written(stored))


def call(name: str, args: Any, kwargs: Any) -> SafeString:
    """Return a call as Python code, or the reason why its arguments cannot be read."""
    unreadable = [str(part) for part in (args, kwargs) if isinstance(part, Unreadable)]
    if unreadable:
        return warning("\n".join(unreadable))
    if not isinstance(args, Sequence) or not isinstance(kwargs, Mapping):
        args, kwargs = [], {"args": args, "kwargs": kwargs}
    return value(values.Call(printable(name), args, kwargs))


def warning(text: str) -> SafeString:
    """Return a text marked as a warning."""
    return format_html('<span class="tsq-warning">{}</span>', text)


def commands(text: str) -> SafeString:
    """Return a text in which what stands between backticks is marked as code."""
    parts = COMMAND.split(text)
    return mark_safe(
        "".join(
            format_html("<code>{}</code>", part) if number % 2 else conditional_escape(part)
            for number, part in enumerate(parts)
        )
    )


def paused() -> SafeString:
    """Return that something is paused, as a state is shown."""
    return format_html('<span class="tsq-state tsq-paused">{}</span>', _("Paused"))


def note(fact: str, cure: str, *, bad: bool) -> SafeString:
    """Return a fact and its cure as a box of its own, in red where something went wrong."""
    kind = "tsq-note tsq-bad" if bad else "tsq-note"
    return format_html('<div class="{}"><strong>{}</strong> {}</div>', kind, fact, commands(cure))


def quiet(text: object) -> SafeString:
    """Return a text in a muted colour."""
    return format_html('<span class="tsq-quiet">{}</span>', text)


def reachable(text: str) -> SafeString:
    """Return an attribute by which keys reach a box, if its text is too long to be in view."""
    long = text.count("\n") > LINES_IN_VIEW or len(text) > CHARACTERS_IN_VIEW
    return SafeString(' tabindex="0"' if long else "")


def _boxed(text: str) -> SafeString:
    return format_html('<pre class="tsq-text"{}>{}</pre>', reachable(text), text)
