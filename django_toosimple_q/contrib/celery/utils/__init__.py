"""Stands where Celery has `celery.utils`."""
