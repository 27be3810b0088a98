"""What needs no worker and takes seconds: a rule tried on every time zone, the demo as a whole."""
