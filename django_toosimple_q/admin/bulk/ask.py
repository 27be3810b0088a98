"""What a request does with an action: a few calls at once, many by a task."""

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib import messages
from django.contrib.admin import helpers
from django.contrib.admin.actions import delete_selected
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from django_toosimple_q import queues
from django_toosimple_q.admin import history, markup
from django_toosimple_q.admin.bulk.actions import ACTIONS
from django_toosimple_q.admin.bulk.selection import Selection
from django_toosimple_q.admin.lists import ROWS_COUNTED, BoundedPaginator
from django_toosimple_q.bulk_task import act_on_many
from django_toosimple_q.execution import Cancellation
from django_toosimple_q.models import TaskExec
from django_toosimple_q.moments import current_moment
from django_toosimple_q.overview.now import worker_figures
from django_toosimple_q.store import task_execs, workers
from django_toosimple_q.text import printable

# So many rows a request changes itself. Each takes some milliseconds.
AT_ONCE = 100

AtOnce = Callable[[Any, HttpRequest, QuerySet], HttpResponse | None]


def act(
    model_admin: Any, request: HttpRequest, queryset: QuerySet, action: str
) -> HttpResponse | None:
    """Act on the rows that were selected in the list."""
    pages = BoundedPaginator(queryset, AT_ONCE)
    if pages.found <= AT_ONCE and not pages.is_cut:
        return FEW[action](model_admin, request, queryset)
    across = request.POST.get("select_across") == "1"
    # A list looks through so many rows. All that match may be more than it has found.
    more = across and model_admin.get_changelist_instance(request).stopped_at is not None
    count = shown(pages.found, more=more)
    unseen = pages.is_cut or more or action == "delete"
    if unseen and request.POST.get("post") != "yes":
        return _confirmation(model_admin, request, action, pages.found, count)
    if across:
        selection = Selection.now(model_admin, request.GET)
    else:
        ids = list(queryset.order_by("pk").values_list("pk", flat=True))
        selection = Selection.now(model_admin, request.GET, pk__in=ids)
    queue(model_admin, request, selection, action, pages.found, count)
    return None


def queue(
    model_admin: Any,
    request: HttpRequest,
    selection: Selection,
    action: str,
    number: int,
    count: str,
) -> TaskExec:
    """Let a task act on a selection, and show a message with a link to it.

    `count` is how many calls it is about, as it is shown.
    """
    row = act_on_many.queue(action, selection.described(), request.user.pk, get_language())
    text = ACTIONS[action].begun % {"number": number, "count": count}
    link = markup.link(row, f"#{row.pk}", model_admin.admin_site.name)
    model_admin.message_user(request, format_html("{} {}", text, link), messages.SUCCESS)
    obstacle = _obstacle(row)
    if obstacle:
        model_admin.message_user(request, obstacle, messages.WARNING)
    return row


def shown(count: int, *, more: bool = False) -> str:
    """Return a number of rows, as "10000+" if there may be more."""
    if count > ROWS_COUNTED:
        return f"{ROWS_COUNTED}+"
    return f"{count}+" if more else str(count)


def _obstacle(row: TaskExec) -> str:
    """Return why a task would wait for long, or ""."""
    values = {"queue": printable(row.queue)}
    if row.queue in queues.paused():
        return _('The queue "%(queue)s" is paused. Resume it, so that the task begins.') % values
    now = workers.clock()
    for worker in workers.alive():
        figures = worker_figures(worker, 0, now)
        if figures.alive and figures.takes(row.queue) and row.task_name in (worker.tasks or ()):
            return ""
    text = _(
        'No living worker takes the task from the queue "%(queue)s", so it waits. Start '
        "`manage.py worker --queue %(queue)s`."
    )
    return text % values


def _confirmation(
    model_admin: Any, request: HttpRequest, action: str, number: int, count: str
) -> HttpResponse:
    across = request.POST.get("select_across") == "1"
    name = helpers.ACTION_CHECKBOX_NAME
    selected = [] if across else request.POST.getlist(name)
    context = {
        **model_admin.admin_site.each_context(request),
        "title": _("Are you sure?"),
        "opts": model_admin.opts,
        "media": model_admin.media,
        "question": ACTIONS[action].question % {"number": number, "count": count},
        "back_url": request.get_full_path(),
        "fields": [
            *((key, request.POST.get(key, "")) for key in ("action", "select_across")),
            *((name, pk) for pk in selected),
        ],
    }
    request.current_app = model_admin.admin_site.name
    return TemplateResponse(request, "admin/toosimpleq/bulk_confirmation.html", context)


def _requeue(model_admin: Any, request: HttpRequest, queryset: QuerySet) -> None:
    model_admin.queue_again(request, queryset)


def _cancel(model_admin: Any, request: HttpRequest, queryset: QuerySet) -> None:
    found = []
    for row in queryset.order_by("pk"):
        found.append(task_execs.cancel(row.pk, "cancelled in the admin", current_moment()))
        if found[-1]:
            model_admin.log_change(request, row, history.CANCELLED)
    cancelled, asked = found.count(Cancellation.CANCELLED), found.count(Cancellation.ASKED)
    texts = {
        ngettext("%d call is cancelled.", "%d calls are cancelled.", cancelled): cancelled,
        ngettext("%d call was asked to stop.", "%d calls were asked to stop.", asked): asked,
    }
    for text, number in texts.items():
        if number:
            model_admin.message_user(request, text % number, messages.SUCCESS)
    ended = len(found) - cancelled - asked
    if ended:
        text = ngettext("%d call had ended already.", "%d calls had ended already.", ended)
        model_admin.message_user(request, text % ended, messages.WARNING)


FEW: Mapping[str, AtOnce] = {
    "requeue": _requeue,
    "cancel": _cancel,
    "delete": delete_selected,
}
