"""Who may read the figures of the queue: a probe with the token, or a user who may see queues."""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import add_never_cache_headers
from django.utils.crypto import constant_time_compare
from django.views import View

from django_toosimple_q import conf

PERMISSION = "toosimpleq.view_queuestatus"
SCHEME = "Bearer "


class MonitoringView(View):
    """A view for probes, for GET and HEAD only. It is never cached."""

    http_method_names = ["get", "head", "options"]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        allowed = may_read(request)
        response = super().dispatch(request, *args, **kwargs) if allowed else refused()
        add_never_cache_headers(response)
        return response


def may_read(request: HttpRequest) -> bool:
    """Return whether a request has the token, or comes from a user with the permission."""
    token = conf.get("TOOSIMPLEQ_MONITORING_TOKEN")
    sent = request.headers.get("Authorization", "")
    if token and sent.startswith(SCHEME):
        return constant_time_compare(sent.removeprefix(SCHEME), token)
    user = getattr(request, "user", None)
    return user is not None and user.has_perm(PERMISSION)


def refused() -> HttpResponse:
    """Return an answer that says nothing of the queue."""
    return HttpResponse(
        f'Send "Authorization: {SCHEME}TOOSIMPLEQ_MONITORING_TOKEN", or log in as a user with the '
        f"permission {PERMISSION}.\n",
        content_type="text/plain; charset=utf-8",
        status=403,
    )
