"""A node's alerts on its page: what stands first, then what ended lately; nothing of other nodes."""

from __future__ import annotations

import pytest
from django.template import Context, Template

from alerts.models import Alert
from alerts.templatetags.node_alerts import MOST_ENDED
from tests.alerts.world import World

pytestmark = pytest.mark.django_db


def shown(node_id: int) -> str:
    text = Template("{% load node_alerts %}{% node_alerts node %}").render(Context({"node": node_id}))
    return text[: text.index("<template")]


def test_what_stands_comes_before_what_ended(world: World) -> None:
    box, other = world.node("box"), world.node("other")
    world.rule(name="Hot", for_s=0, keep_s=0)
    for _ in range(MOST_ENDED + 2):
        world.heat(box, 95)
        world.heat(other, 95)
        world.run(2)
        world.heat(box, 50)
        world.run(2)
    world.heat(box, 99)
    world.run(2)
    page = shown(box.id)
    assert page.count("<li") == MOST_ENDED + 1
    assert page.index("firing") < page.index("resolved")
    assert "other" not in page
    assert f'data-alerts="/api/v1/alerts/?node={box.id}&amp;page_size=100"' in page


def test_a_peak_that_came_to_nothing_is_left_out(world: World) -> None:
    box = world.node("box")
    world.rule(name="Hot", for_s=600)
    world.heat(box, 95)
    world.run(2)
    assert "pending" in shown(box.id)
    world.heat(box, 50)
    world.run(2)
    assert Alert.objects.exists()
    assert "<li" not in shown(box.id)


def test_hostile_names_are_text(world: World) -> None:
    box = world.node("<b>box</b>")
    world.rule(name="<script>x</script>", for_s=0)
    world.heat(box, 95)
    world.run(2)
    assert "<script>" not in shown(box.id)
