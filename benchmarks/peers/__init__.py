"""One package for each queue that is measured; runs in that queue's own environment."""
