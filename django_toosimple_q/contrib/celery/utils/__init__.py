"""The counterpart of `celery.utils`."""
