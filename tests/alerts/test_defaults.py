"""The rules that come with DPL."""

from __future__ import annotations

import pytest
from django.utils.translation import override

from alerts import validation
from alerts.changes import rule_values
from alerts.defaults import DEFAULTS, NAMES, install, shown_name
from alerts.models import Rule

pytestmark = pytest.mark.django_db


def test_a_new_installation_has_them_all() -> None:
    assert set(Rule.objects.values_list("key", flat=True)) == set(NAMES)


@pytest.mark.parametrize("values", DEFAULTS, ids=lambda values: str(values["key"]))
def test_each_is_a_rule_that_people_could_have_made(values: dict[str, object]) -> None:
    assert validation.rule(rule_values({**values, "name": "x"}))


def test_a_gpu_may_be_as_hot_as_it_is_on_a_normal_day() -> None:
    rule = Rule.objects.get(key="gpu-temperature")
    assert (rule.fire_value, rule.clear_value) == (90, 85)


def test_installing_again_changes_nothing_that_people_changed() -> None:
    Rule.objects.filter(key="cpu").update(name="Busy", fire_value=50)
    assert install(Rule) == 0
    assert Rule.objects.get(key="cpu").fire_value == 50
    assert Rule.objects.filter(key="cpu").count() == 1


def test_their_names_are_the_readers_until_a_person_gives_others() -> None:
    with override("zh-hans"):
        assert shown_name("gpu-temperature", "GPU hot") == "GPU 过热"
        assert shown_name("gpu-temperature", "Ofen") == "Ofen"
        assert shown_name("", "GPU hot") == "GPU hot"
