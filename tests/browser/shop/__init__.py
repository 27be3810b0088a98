"""An app with tasks that take a while, report progress, or fail."""
