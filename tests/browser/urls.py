"""The admin under a policy that allows no inline script or style."""

from collections.abc import Callable

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

POLICY = "default-src 'self'; img-src 'self' data:"

urlpatterns = [
    path("admin/", admin.site.urls),
    # Chromium asks for it by itself, and complains if there is none.
    path("favicon.ico", lambda request: HttpResponse(content_type="image/x-icon")),
]
if "grappelli" in settings.INSTALLED_APPS:
    urlpatterns.insert(0, path("grappelli/", include("grappelli.urls")))


def strict_policy(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    def respond(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response["Content-Security-Policy"] = POLICY
        return response

    return respond
