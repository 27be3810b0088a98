"""The dashboard: the index page of this app in the admin, and the actions that it offers."""
