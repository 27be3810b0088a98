"""Show the log records that a row keeps of its run."""

import json
from datetime import UTC, datetime
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_toosimple_q.admin import markup
from django_toosimple_q.text import printable

# The levels that stand out.
MARKED = {"WARNING": "tsq-warned", "ERROR": "tsq-failed", "CRITICAL": "tsq-failed"}


def shown(text: str | None) -> SafeString:
    """Return the records as a list; as a text if this code cannot read them."""
    if not text:
        return markup.NOTHING
    try:
        dropped, records = json.loads(text)
        lines = [_line(*record) for record in records]
        dropped = int(dropped)
    except (ValueError, TypeError, OverflowError, OSError, RecursionError):
        return markup.output(text)
    item = '<li>{} <b class="{}">{}</b> <code>{}</code> <pre>{}</pre></li>'
    listed = format_html_join("", item, lines)
    note = markup.quiet(_("%(count)s earlier ones were left out.") % {"count": f"{dropped:,}"})
    keys = markup.reachable("\n" * len(lines))
    return format_html('{}<ol class="tsq-log"{}>{}</ol>', note if dropped else "", keys, listed)


def _line(seconds: float, level: str, logger: str, message: str) -> tuple[Any, ...]:
    moment = markup.local(datetime.fromtimestamp(seconds, UTC))
    clock = f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03}"
    time = format_html(
        '<time datetime="{}" title="{}">{}</time>', moment.isoformat(), markup.exact(moment), clock
    )
    texts = (printable(str(one)) for one in (level, logger))
    return (time, MARKED.get(str(level), ""), *texts, printable(str(message), lines=True))
