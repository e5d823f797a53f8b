"""The schema of the whole site's API, as `/api/schema` gives it and `/api/docs` shows it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from django.core.management import call_command
from drf_spectacular.drainage import GENERATOR_STATS

HASHED = re.compile(r"[0-9A-F][0-9a-f]{2}Enum$")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The schema as a file's text; making it fails where something is doubtful."""
    file: Path = tmp_path_factory.mktemp("schema") / "openapi.yaml"
    GENERATOR_STATS.reset()
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(file))
    return file.read_text()


def test_it_is_valid_and_made_without_a_warning(made: str) -> None:
    assert made.startswith("openapi: 3")


def test_what_may_be_chosen_has_a_name_of_its_own(made: str) -> None:
    names = set(yaml.safe_load(made)["components"]["schemas"])
    assert [name for name in names if HASHED.search(name)] == []
    assert {"JobState", "ItemState", "NodeState", "AlertState", "EngineKind", "Severity"} <= names
