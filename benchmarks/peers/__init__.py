"""A package for each measured queue. It runs in that queue's own environment."""
