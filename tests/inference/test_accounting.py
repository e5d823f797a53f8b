"""Batches of records become rows: the log, the sums of usage, the metrics; each once."""

from __future__ import annotations

import json
import logging
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from accounts.limits import RATE_LIMITED
from accounts.models import UsageDay
from dpl_site.lib.clock import utc_now
from inference import accounting
from inference.accounting import prune_metrics, prune_requests, write_batch
from inference.models import GatewayCounter, GatewayProcess, RequestLog
from inference.recorder import Batch, Load
from inference.records import RequestRecord
from nodes.instances import expire
from tests.datasets.making import an_instance
from tests.inference.serving import AT, a_record, attempt

pytestmark = pytest.mark.django_db
RECORDER = uuid.uuid4()


def write(*records: RequestRecord, number: int = 1, **more: Any) -> None:
    known: dict[str, Any] = {"instance_id": None, "load": Load()}
    write_batch(batch=Batch(recorder_id=RECORDER, number=number, records=records, **known | more))


def test_a_request_is_told_with_its_decision() -> None:
    tried = (
        attempt("dead", error="unreachable", message="no route"),
        attempt("fast", reasons=("model resident",), others=(("slow", 2.5),), rejected=(("far", "offline"),)),
    )
    write(a_record(attempts=tried, key_id=3, model_asked="auto"))
    row = RequestLog.objects.get()
    assert (row.request_id, row.at, row.user_id, row.key_id) == ("r", datetime.fromtimestamp(AT, UTC), 1, 3)
    assert (row.model_asked, row.model, row.node_name, row.attempts) == ("auto", "m", "fast", 2)
    dead, fast = json.loads(row.decision)
    assert (dead["node"]["name"], dead["error"]) == ("dead", {"code": "unreachable", "message": "no route"})
    assert (fast["reasons"], fast["error"]) == (["model resident"], None)
    assert fast["others"] == [{"node": "slow", "expected_finish_s": 2.5}]
    assert fast["rejected"] == [{"node": "far", "reason": "offline"}]


def test_usage_is_summed_up_by_day_key_model_and_node() -> None:
    write(
        a_record(),
        a_record(outcome="cancelled", completion_tokens=1),
        a_record(outcome="timeout", prompt_tokens=None, completion_tokens=None),
        a_record(key_id=4),
        a_record(at=AT + 86_400),
    )
    rows = UsageDay.objects.order_by("day", "key_id")
    assert [(row.day, row.key_id, row.requests) for row in rows] == [
        (date(2026, 3, 20), 0, 3),
        (date(2026, 3, 20), 4, 1),
        (date(2026, 3, 21), 0, 1),
    ]
    first = rows[0]
    assert (first.failed, first.cancelled, first.prompt_tokens, first.completion_tokens) == (1, 1, 10, 8)
    assert (first.model, first.node_id, first.node_name, first.source) == ("m", 1, "fast", "gateway")


def test_strangers_and_those_whom_a_limit_turned_away_have_no_line_each() -> None:
    write(a_record(user_id=0, outcome="invalid_api_key", attempts=()))
    write(a_record(outcome=RATE_LIMITED, attempts=()), number=2)
    assert not RequestLog.objects.exists()
    assert [(row.requests, row.failed) for row in UsageDay.objects.all()] == [(1, 1)]
    counted = dict(GatewayCounter.objects.filter(name="requests").values_list("label", "value"))
    assert counted == {"invalid_api_key": 1, RATE_LIMITED: 1}


def test_a_batch_that_was_in_already_is_not_written_again() -> None:
    write(a_record(), number=1)
    write(a_record(), number=1, is_again=True)
    write(a_record(), number=2, is_again=True)
    assert RequestLog.objects.count() == 2
    assert UsageDay.objects.get().requests == 2
    assert GatewayCounter.objects.get(name="requests").value == 2


def test_what_a_process_has_in_hand_stands_in_one_row() -> None:
    instance = an_instance("web")
    write(number=1, instance_id=instance.id, load=Load(2, {7: 3}))
    write(number=2, instance_id=instance.id, load=Load(0, {7: 1}))
    row = GatewayProcess.objects.get()
    assert (row.instance_id, row.batch, row.waiting, row.in_flight) == (instance.id, 2, 0, {"7": 1})


def test_a_line_says_what_was_asked_and_where_it_went(
    caplog: pytest.LogCaptureFixture, settings: Settings
) -> None:
    settings.DPL_LOG_FORMAT = "json"
    with caplog.at_level(logging.INFO, logger="inference.requests"):
        write(a_record(attempts=(attempt(reasons=("model resident",)),)))
        settings.DPL_LOG_REQUESTS = False
        write(a_record(), number=2)
    (line,) = caplog.records
    assert line.message == "/api/chat m for otto: ok in 900 ms, fast (model resident)"
    told = line.__dict__
    assert (told["outcome"], told["user"], told["completion_tokens"]) == ("ok", "otto", 7)
    assert told["decision"][0]["reasons"] == ["model resident"]


def test_one_that_has_no_row_is_in_the_sums_all_the_same() -> None:
    write(a_record(), a_record(is_in_full=False))
    assert RequestLog.objects.count() == 1
    assert sum(row.requests for row in UsageDay.objects.all()) == 2
    counted = GatewayCounter.objects.filter(name="requests")
    assert sum(row.value for row in counted) == 2


def test_requests_go_after_their_days(settings: Settings) -> None:
    settings.DPL_KEEP_REQUESTS_DAYS = 10
    now = utc_now()
    write(*(a_record(at=(now - timedelta(days=days)).timestamp()) for days in (12, 11, 9)))
    assert (prune_requests(), prune_requests(), RequestLog.objects.count()) == (2, 0, 1)


def test_the_oldest_requests_go_beyond_their_number(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DPL_KEEP_REQUESTS_MOST = 2
    monkeypatch.setattr(accounting, "MOST_PRUNED", 3)
    write(*(a_record(at=utc_now().timestamp(), request_id=str(number)) for number in range(6)))
    assert (prune_requests(), prune_requests(), prune_requests()) == (3, 1, 0)
    assert {row.request_id for row in RequestLog.objects.all()} == {"4", "5"}


def test_numbers_that_no_longer_rise_and_processes_that_ended_go() -> None:
    instance = an_instance("web")
    write(a_record(), instance_id=instance.id)
    assert prune_metrics() == 0
    GatewayCounter.objects.filter(name="tokens").update(updated_ms=0)
    expire(instance_id=instance.id)
    assert prune_metrics() == 3
    assert not GatewayProcess.objects.exists()
    assert GatewayCounter.objects.filter(name="requests").exists()


@pytest.mark.django_db(transaction=True)
def test_processes_that_raise_the_same_sums_at_once_lose_nothing_and_never_wait_for_each_other() -> None:
    places = [attempt("a", node_id=1), attempt("b", node_id=2)]
    records = [a_record(user_id=user, attempts=(place,)) for user in (1, 2, 3) for place in places]

    def process(number: int) -> None:
        mine = uuid.uuid4()
        turned = records if number % 2 else records[::-1]
        for batch in range(1, 31):
            write_batch(batch=Batch(mine, None, batch, tuple(turned), Load()))
        connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(process, range(4)))
    assert RequestLog.objects.count() == 4 * 30 * len(records)
    assert {row.requests for row in UsageDay.objects.all()} == {4 * 30}
    counted = GatewayCounter.objects.filter(name="requests")
    assert {row.node: row.value for row in counted} == {"a": 360, "b": 360}
