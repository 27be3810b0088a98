"""Tell the cron monitors of Sentry of each run of a schedule.

INSTALLED_APPS = [..., "django_toosimple_q.contrib.sentry"]
"""
