"""The admin in a real browser, on a live site with real workers: `make browser`."""
