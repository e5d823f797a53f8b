"""A data folder of its own for each test process, set before Django reads its settings."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

folder = tempfile.mkdtemp(prefix="dpl-tests-")
atexit.register(shutil.rmtree, folder, ignore_errors=True)
os.environ["DPL_DATA_DIR"] = folder
os.environ["DPL_ENV_FILE"] = os.path.join(folder, "no.env")
os.environ["DPL_LOG_LEVEL"] = "WARNING"
os.environ.pop("REDIS_URL", None)
if "DPL_TEST_DATABASE_URL" in os.environ:
    os.environ["DATABASE_URL"] = os.environ["DPL_TEST_DATABASE_URL"]
else:
    os.environ["DATABASE_URL"] = f"sqlite:///{folder}/dpl.sqlite3"
