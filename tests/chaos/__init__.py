"""Storms over real workers, and the account of what came of each call."""
