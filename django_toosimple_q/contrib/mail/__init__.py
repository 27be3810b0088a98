"""Queue mail instead of sending it, with the mail backend `QueueBackend`."""
