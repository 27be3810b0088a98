"""Queue mail instead of sending it: `QueueBackend` is a mail backend like any other."""
