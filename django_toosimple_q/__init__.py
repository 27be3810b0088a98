"""A task queue and cron scheduler for Django whose only broker is the database."""

__version__ = "2.0.0.dev0"
