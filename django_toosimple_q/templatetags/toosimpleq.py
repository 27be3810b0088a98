"""What the templates of the dashboard need: its contents, and how moments and names are shown."""

from datetime import datetime, timedelta
from typing import Any

from django import template
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_toosimple_q.admin import markup
from django_toosimple_q.admin.dashboard.contents import Contents
from django_toosimple_q.moments import aware, current_moment
from django_toosimple_q.overview.spans import span
from django_toosimple_q.text import printable

register = template.Library()

SHOWN = 120


@register.simple_tag(takes_context=True)
def toosimpleq_contents(context: Any) -> Contents:
    """Return the contents of the dashboard for the user of this request."""
    request = context["request"]
    return Contents(request, getattr(request, "current_app", "admin") or "admin", current_moment())


@register.simple_tag
def toosimpleq_list(contents: Contents, model: str, **query: Any) -> str:
    """Return the address of a list with filters."""
    return contents.list_url(model, **{name: str(value) for name, value in query.items()})


@register.simple_tag
def toosimpleq_row(contents: Contents, model: str, pk: Any) -> str:
    """Return the address of a row's page."""
    return contents.row_url(model, pk)


@register.simple_tag
def toosimpleq_here(contents: Contents, **query: str) -> str:
    """Return the query of this page with parts of it changed."""
    return contents.here(**query)


@register.filter
def shown(value: Any) -> str:
    """Return the beginning of a text, with escapes for what a page would not show."""
    return markup.cut(printable(str(value)[: SHOWN * 2]), SHOWN)


@register.filter
def brief(value: Any) -> str:
    """Return a duration, in seconds or as timedelta, in its largest unit; "-" for None."""
    if value is None:
        return str(markup.NOTHING)
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{number_format(seconds, 1)} s"
    return span(timedelta(seconds=seconds), 1)


@register.filter
def since(moment: datetime | None, now: datetime) -> str:
    """Return how long ago a moment was."""
    return (
        str(markup.NOTHING)
        if moment is None
        else brief(max(aware(now) - aware(moment), timedelta(0)))
    )


@register.filter
def ago(moment: datetime | None, now: datetime) -> SafeString:
    """Return a moment relative to now, with the exact one in the title."""
    return markup.moment(moment, aware(now))


@register.filter
def minutes_ago(minute: datetime, now: datetime) -> SafeString:
    """Return how long ago a minute was, by its begin: more is not known of what ended in it."""
    this_minute = aware(now).replace(second=0, microsecond=0)
    if aware(minute) >= this_minute:
        return format_html("{}", _("this minute"))
    return markup.moment(minute, this_minute)


@register.filter
def exact(moment: datetime) -> str:
    """Return a moment to the second, in the current zone."""
    return markup.exact(timezone.localtime(aware(moment)))


@register.filter
def clock(moment: datetime) -> str:
    """Return the hour and minute of a moment, in the current zone."""
    return f"{timezone.localtime(aware(moment)):%H:%M}"


@register.filter
def share(value: float) -> str:
    """Return a share as a whole percentage; "-" for nothing."""
    if not value:
        return str(markup.NOTHING)
    return f"{value * 100:.0f} %" if value >= 0.01 else "< 1 %"


register.filter("commands", markup.commands)
register.filter("work", markup.work)


@register.filter
def worker(labels: Any, pk: int | None) -> str:
    """Return the label of a worker by the id of its row."""
    return shown(labels.get(pk, str(markup.NOTHING) if pk is None else f"#{pk}"))


@register.filter
def state(row: Any) -> str:
    """Return the label of a row's state."""
    return str(dict(row.States.choices).get(row.state, row.state))


@register.inclusion_tag("admin/toosimpleq/spark.html")
def toosimpleq_spark(outlines: Any, label: str) -> dict[str, Any]:
    """Draw a few numbers over time."""
    return {"outlines": outlines, "label": label}


@register.filter
def field(row: Any, names: str) -> list[tuple[str, Any]]:
    """Return attributes of a row as fields of a form. "a:b" gives the attribute a the name b."""
    pairs = [name.partition(":") for name in names.split(",")]
    return [(as_name or name, getattr(row, name)) for name, _colon, as_name in pairs]
