"""All queue SQL, one transaction step per function."""
