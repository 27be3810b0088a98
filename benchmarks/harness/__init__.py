"""What measures: environments, servers, runs of one queue, tables. Runs in its own environment."""
