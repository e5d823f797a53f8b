#!/usr/bin/env python
"""Every command of the site. The first word also names the kind of process, which decides how it keeps connections."""

from __future__ import annotations

import os
import sys

WRONG_CONFIGURATION = 78
"""EX_CONFIG: whoever supervises this process need not start it again."""


def main() -> None:
    """Run the command named on the command line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dpl_site.settings")
    os.environ.setdefault("DPL_PROCESS", sys.argv[1] if len(sys.argv) > 1 else "")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.stderr.write(f"A setting is wrong. {error}\n")
        sys.exit(WRONG_CONFIGURATION)


if __name__ == "__main__":
    main()
