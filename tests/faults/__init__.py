"""Faults of the database, injected by seed."""
