"""How values look in the admin: states, moments, durations, payloads. Everything is escaped."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pprint import pformat
from typing import Any

from django.db.models import Model
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_toosimple_q.payload import Unreadable
from django_toosimple_q.worker.capture import cut_middle

NOTHING = SafeString("-")
PREVIEW_LENGTH = 255
VALUE_LENGTH = 10_000
TEXT_LENGTH = 100_000
LINE_LENGTH = 96
UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def badge(row: Any) -> SafeString:
    """Return the state of a row, as icon and text."""
    state = str(row.state)
    label = dict(row.States.choices).get(state)
    if label is None:  # written by a newer release, or by hand
        return format_html('<span class="tsq-state">❔ {}</span>', state)
    return format_html(
        '<span class="tsq-state tsq-{}"><span aria-hidden="true">{}</span> {}</span>',
        state.lower(),
        row.ICONS[state],
        label,
    )


def link(row: Model, text: object, site: str) -> SafeString:
    """Return a link to the page of a row, or the text alone on a site that has no such page."""
    view = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    try:
        url = reverse(view, args=[row.pk], current_app=site)
    except NoReverseMatch:
        return format_html("{}", text)
    return format_html('<a href="{}">{}</a>', url, text)


def task_link(row: Model, site: str) -> SafeString:
    """Return a link to a task's row with its state."""
    return format_html("{} {}", link(row, f"#{row.pk}", site), badge(row))


def moment(value: datetime | None, now: datetime) -> SafeString:
    """Return a time relative to `now`, with the exact one in the title."""
    if value is None:
        return NOTHING
    local = timezone.localtime(value) if timezone.is_aware(value) else value
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        local.isoformat(),
        exact(local),
        away(value, now, units=1),
    )


def moment_in_full(value: datetime | None, now: datetime) -> SafeString:
    """Return a time with its offset, and how far from `now` it is."""
    if value is None:
        return NOTHING
    local = timezone.localtime(value) if timezone.is_aware(value) else value
    return format_html(
        '<time datetime="{}">{}</time> <span class="tsq-quiet">{}</span>',
        local.isoformat(),
        exact(local),
        away(value, now),
    )


def exact(value: datetime) -> str:
    """Return a datetime to the second, with offset and name of its zone when it has one."""
    offset = value.strftime("%z")
    zone = f" {offset[:3]}:{offset[3:]} {value.strftime('%Z')}" if offset else ""
    return f"{value:%Y-%m-%d %H:%M:%S}{zone}"


def away(value: datetime, now: datetime, units: int = 2) -> str:
    """Return how far a datetime is from `now`, in words."""
    delta = value - now
    if abs(delta) < timedelta(seconds=1):
        return _("now")
    length = span(timedelta(seconds=int(abs(delta).total_seconds())), units)
    if delta > timedelta(0):
        return _("in %(length)s") % {"length": length}
    return _("%(length)s ago") % {"length": length}


def span(delta: timedelta, units: int = 2) -> str:
    """Return a length of time in its largest units, to the millisecond below ten seconds."""
    seconds = max(delta.total_seconds(), 0)
    if seconds < 10:
        return f"{round(seconds, 3):g} s"
    rest = int(seconds)
    counts = []
    for name, size in UNITS:
        count, rest = divmod(rest, size)
        counts.append((count, name))
    first = next(place for place, (count, _name) in enumerate(counts) if count)
    return " ".join(f"{count} {name}" for count, name in counts[first : first + units] if count)


def cut(text: str, length: int) -> str:
    """Return at most `length` characters, ending in "…" when something was cut."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def stack(above: object, below: object) -> SafeString:
    """Return two lines for a table's cell, the second one standing back."""
    if not below:
        return format_html("{}", above)
    return format_html('{}<br><span class="tsq-below">{}</span>', above, below)


def last_line(text: str | None) -> str:
    """Return the last line of a traceback, which says what went wrong."""
    lines = (text or "").strip().splitlines()
    return lines[-1] if lines else ""


def preview(text: str | None) -> SafeString:
    """Return the beginning of a text for a table's cell."""
    if not text:
        return NOTHING
    text = cut(text, PREVIEW_LENGTH)
    return format_html('<span class="tsq-preview" title="{}">{}</span>', text, text)


def output(text: str | None) -> SafeString:
    """Return a text as it was written, its middle cut out when it is very long."""
    if not text:
        return NOTHING
    return format_html('<pre class="tsq-text">{}</pre>', cut_middle(text, TEXT_LENGTH))


def value(stored: Any) -> SafeString:
    """Return a stored value as Python writes it, or why it cannot be read."""
    if isinstance(stored, Unreadable):
        return warning(str(stored))
    return format_html('<pre class="tsq-text">{}</pre>', written(stored))


def call(name: str, args: Any, kwargs: Any) -> SafeString:
    """Return a call as Python writes it, or why its arguments cannot be read."""
    unreadable = [str(part) for part in (args, kwargs) if isinstance(part, Unreadable)]
    if unreadable:
        return warning("\n".join(unreadable))
    arguments = _arguments(args, kwargs)
    text = f"{name}({', '.join(arguments)})"
    if len(text) > LINE_LENGTH or "\n" in text:
        text = "\n".join([f"{name}(", *(f"    {_indented(one)}," for one in arguments), ")"])
    return format_html('<pre class="tsq-text">{}</pre>', cut(text, VALUE_LENGTH))


def warning(text: str) -> SafeString:
    """Return a text that tells of something wrong."""
    return format_html('<span class="tsq-warning">⚠️ {}</span>', text)


def quiet(text: object) -> SafeString:
    """Return a text that stands back."""
    return format_html('<span class="tsq-quiet">{}</span>', text)


def written(stored: Any) -> str:
    """Return a value as Python writes it, cut at a bound."""
    try:
        text = repr(stored)
        if len(text) <= VALUE_LENGTH:
            text = pformat(stored, width=LINE_LENGTH, sort_dicts=False)
    except Exception as error:  # user code: __repr__ of what was stored
        text = f"(cannot be shown: {type(error).__name__})"
    return cut(text, VALUE_LENGTH)


def _arguments(args: Any, kwargs: Any) -> list[str]:
    if not isinstance(args, Sequence) or not isinstance(kwargs, Mapping):
        return [f"*{written(args)}", f"**{written(kwargs)}"]
    return [
        *(written(argument) for argument in args),
        *(f"{name}={written(argument)}" for name, argument in kwargs.items()),
    ]


def _indented(text: str) -> str:
    return text.replace("\n", "\n    ")
