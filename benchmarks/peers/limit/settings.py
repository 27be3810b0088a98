"""The limit to compare the queue with: its own table without it. Runs in our environment."""

from peers.ours.settings import *  # noqa: F403
from peers.ours.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "peers.limit"]
