"""The harness: environments, servers, measurements and tables. It has its own environment."""
