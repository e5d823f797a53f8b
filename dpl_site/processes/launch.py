"""How the present process becomes the supervisor of what it has prepared."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

from dpl_site.processes.spec import Spec, dump, parse

_ROOT = Path(__file__).resolve().parent.parent.parent


def launch(spec: Spec) -> NoReturn:
    """Turn this process into the supervisor of `spec`; its memory, threads and open files are given up.

    The spec travels in a file without a name: it may hold a password for the banner, which belongs neither
    on a disk nor on a command line. Raises SpecError, before anything is given up, when the spec is wrong.
    """
    text = dump(spec._replace(folder=spec.folder or str(Path.cwd())))
    parse(text)
    with tempfile.TemporaryFile() as file:
        file.write(text.encode())
        file.flush()
        file.seek(0)
        os.dup2(file.fileno(), 0)
    os.environ.pop("DPL_PROCESS", None)  # it names this process; each child names itself
    sys.stdout.flush()
    sys.stderr.flush()
    os.chdir(_ROOT)  # where the supervisor's module is found
    command = [sys.executable, "-m", "dpl_site.processes.supervisor", "-"]
    os.execv(sys.executable, command)  # noqa: S606 - no shell is wanted; this interpreter, this module
