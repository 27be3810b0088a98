"""Columns that several pages share, built from the name of a model field."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from django_toosimple_q.admin import markup
from django_toosimple_q.moments import current_moment

Column = Callable[[Any, Any], SafeString]


def moment(
    field: str, label: Any, show: Callable[[datetime | None, datetime], SafeString] = markup.moment
) -> Column:
    """Return a column that shows a time relative to now."""

    @admin.display(description=label)
    def column(self: Any, row: Any) -> SafeString:
        return show(getattr(row, field), current_moment())

    return column


def moment_in_full(field: str, label: Any) -> Column:
    """Return a column that shows an exact time, and how far away it is."""
    return moment(field, label, markup.moment_in_full)


def output(
    field: str, label: Any, show: Callable[[str | None], SafeString] = markup.output
) -> Column:
    """Return a column that shows a text with its line breaks."""

    @admin.display(description=label)
    def column(self: Any, row: Any) -> SafeString:
        return show(getattr(row, field))

    return column


@admin.display(description=_("state"))
def state(self: Any, row: Any) -> SafeString:
    """Show the state."""
    return markup.badge(row)


def text(field: str, label: Any) -> Column:
    """Return a column that shows a text of one line under a label that is translated."""

    @admin.display(description=label)
    def column(self: Any, row: Any) -> SafeString:
        return format_html("{}", markup.name(getattr(row, field)) or markup.NOTHING)

    return column
