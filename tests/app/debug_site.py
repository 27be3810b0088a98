"""A worker of a site with DEBUG: python -m tests.app.debug_site worker"""

import sys

from django.conf import settings
from django.core.management import execute_from_command_line

if __name__ == "__main__":
    settings.DEBUG = True
    execute_from_command_line([*sys.argv, "--reload=never"])
