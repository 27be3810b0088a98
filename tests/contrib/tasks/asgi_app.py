"""Async views that enqueue tasks and read results, as an ASGI application."""

import os

from django.core.asgi import get_asgi_application
from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.urls import path

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.contrib.tasks.asgi_site"
application = get_asgi_application()


async def enqueue(request: HttpRequest, value: int) -> JsonResponse:
    from tests.contrib.tasks import lazy

    result = await lazy.found.aenqueue(value)
    await result.arefresh()
    return JsonResponse({"id": result.id, "status": result.status})


async def read(request: HttpRequest, result_id: str) -> JsonResponse:
    from tests.contrib.tasks import lazy

    result = await lazy.found.aget_result(result_id)
    value = result.return_value if result.is_finished else None
    return JsonResponse({"status": result.status, "value": value})


@transaction.atomic
def roll_back(request: HttpRequest) -> JsonResponse:
    from tests.contrib.tasks import lazy

    result = lazy.found.enqueue("rolled back")
    transaction.set_rollback(True)
    return JsonResponse({"id": result.id})


urlpatterns = [
    path("enqueue/<int:value>/", enqueue),
    path("result/<result_id>/", read),
    path("roll-back/", roll_back),
]
