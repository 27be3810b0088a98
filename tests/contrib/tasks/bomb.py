"""A module that tells when it is imported."""

raise AssertionError("imported on the word of a row that nobody signed")
