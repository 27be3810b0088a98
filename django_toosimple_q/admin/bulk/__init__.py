"""Act on all calls that match a filter, however many: by a task, not in the request."""
