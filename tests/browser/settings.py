"""Settings of the site that a browser visits, with or without a theme of the admin.

TOOSIMPLEQ_BROWSER_THEME  unfold, jazzmin, grappelli or admin_interface
"""

import os
from importlib import import_module

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS, MIDDLEWARE

THEMES = {
    "unfold": ["unfold"],
    "jazzmin": ["jazzmin"],
    "grappelli": ["grappelli"],
    "admin_interface": ["admin_interface", "colorfield"],
}
THEME = os.environ.get("TOOSIMPLEQ_BROWSER_THEME", "")

ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.browser.urls"
# Before the admin, whose start page then has the box with the verdict.
OURS = "django_toosimple_q"
INSTALLED_APPS = [
    OURS,
    *THEMES.get(THEME, []),
    *(name for name in INSTALLED_APPS if name not in (OURS, "tests.app")),
    "tests.browser.shop",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    *MIDDLEWARE,
    "django.middleware.csrf.CsrfViewMiddleware",
    *([] if THEME else ["tests.browser.urls.strict_policy"]),
]
if THEME == "admin_interface":
    X_FRAME_OPTIONS = "SAMEORIGIN"

for name in THEMES.get(THEME, []):
    import_module(name)  # one that is missing is named before anything else is done
