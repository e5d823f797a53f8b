"""The simulator's pure parts: text, formats, bodies, faults, residency, options."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.simulator import faults
from agent.simulator.bodies import checked_options, go_body, keep_alive_s
from agent.simulator.engine import Refusal
from agent.simulator.faults import FaultDice, UnknownFaultError
from agent.simulator.formats import created_at, go_json, plain_json
from agent.simulator.ollama_hosts import is_welcome
from agent.simulator.options import Options, parse_options
from agent.simulator.reply_text import babble, last_user_text, pieces_of
from agent.simulator.residency import FOREVER_S, Residency
from tests.agent.test_lock import Clock


@settings(max_examples=40)
@given(st.text())
def test_pieces_joined_give_the_text_back(text: str) -> None:
    pieces = pieces_of(text)
    assert "".join(pieces) == text
    assert all(1 <= len(piece) <= 5 for piece in pieces)


def test_a_reply_has_as_many_words_as_were_asked_for() -> None:
    assert "".join(babble(3)) == "a machine that"
    assert len(babble(500)) == 500
    assert babble(0) == []


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([], ""),
        ([{"role": "system", "content": "s"}], "s"),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "a"),
        ([{"role": "user", "content": "a"}, {"role": "user", "content": " b\n"}], " b\n"),
        (
            [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "x"}, {"type": "image_url"}, {"text": "y"}],
                }
            ],
            "xy",
        ),
        ([5, {"role": "user"}], ""),
    ],
)
def test_the_last_user_message_is_found(messages: list[object], text: str) -> None:
    assert last_user_text(messages) == text


@settings(max_examples=40)
@given(st.text(alphabet=st.characters(exclude_categories=[])))
def test_any_string_survives_either_way_of_writing_it(text: str) -> None:
    for written in (go_json(text), plain_json(text)):
        assert json.loads(written.encode()) == text


def test_go_escapes_what_html_would_take_for_its_own() -> None:
    assert go_json("<a> & \u2028") == '"\\u003ca\\u003e \\u0026 \\u2028"'
    assert go_json({"a": [1, "é"]}) == '{"a":[1,"é"]}'


@pytest.mark.parametrize(
    ("ns", "written"),
    [
        (1795259335_412406640, "2026-11-21T11:08:55.41240664Z"),
        (1795259335_000000000, "2026-11-21T11:08:55Z"),
        (1795259335_000000001, "2026-11-21T11:08:55.000000001Z"),
    ],
)
def test_instants_lose_their_trailing_zeros(ns: int, written: str) -> None:
    assert created_at(ns) == written


@pytest.mark.parametrize(
    ("given_", "seconds"),
    [
        (None, None),
        (0, 0.0),
        (90, 90.0),
        ("90s", 90.0),
        ("1h1m0.5s", 3660.5),
        ("100ms", 0.1),
        ("0h", 0.0),
        (1.5, 1.5),
    ],
)
def test_keep_alive_is_read_as_go_reads_durations(given_: object, seconds: float | None) -> None:
    assert keep_alive_s({"keep_alive": given_}) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize("forever", [-1, "-1m", 1e300])
def test_a_negative_keep_alive_is_for_ever(forever: object) -> None:
    assert keep_alive_s({"keep_alive": forever}) == FOREVER_S


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ("zz", 'time: invalid duration "zz"'),
        ("10", 'time: missing unit in duration "10"'),
        ("", 'duration ""'),
    ],
)
def test_a_bad_keep_alive_is_refused_in_gos_words(given_: str, words: str) -> None:
    with pytest.raises(Refusal) as caught:
        keep_alive_s({"keep_alive": given_})
    assert caught.value.status == 400
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "missing request body"),
        (b'{"model":', "unexpected EOF"),
        (b'{"model": x}', "invalid character 'x' looking for beginning of value"),
        (b"[]", "json: cannot unmarshal array into Go value of type api.ChatRequest"),
        (b"[" * 100_000, "exceeded max depth"),
    ],
)
def test_bad_bodies_are_refused_in_gos_words(raw: bytes, message: str) -> None:
    with pytest.raises(Refusal) as caught:
        go_body(raw)
    assert (caught.value.status, caught.value.message) == (400, message)


def test_options_of_the_wrong_type_are_a_500_and_unknown_ones_nothing() -> None:
    assert checked_options({"options": {"temperature": 1, "seed": 2.0, "new": "x", "stop": ["a"]}})
    with pytest.raises(Refusal, match='option "temperature" must be of type float32') as caught:
        checked_options({"options": {"temperature": "hot"}})
    assert caught.value.status == 500


def test_the_dice_fail_a_share_and_the_same_ones_for_a_seed() -> None:
    def rolled(seed: int) -> list[str | None]:
        dice = FaultDice((faults.BROKEN, faults.CUT), 0.3, seed)
        return [dice.choose(None, "hello") for _ in range(1000)]

    first = rolled(7)
    assert first == rolled(7) != rolled(8)
    assert 230 < sum(kind is not None for kind in first) < 370
    assert {faults.BROKEN, faults.CUT, None} == set(first)


def test_a_requests_own_wish_goes_before_the_dice() -> None:
    dice = FaultDice((faults.BROKEN,), 1.0)
    assert dice.choose("Hang", "[[sim:cut]]") == faults.HANG
    assert dice.choose(None, "please [[sim:cut]] it") == faults.CUT
    assert dice.choose(None, "[[sim:nonsense]]") == faults.BROKEN
    assert dice.counts == {faults.HANG: 1, faults.CUT: 1, faults.BROKEN: 1}
    with pytest.raises(UnknownFaultError, match=r"there is no fault 'x'; there are refuse, 503"):
        dice.choose("x", "")


def test_only_a_refusing_engine_is_down() -> None:
    assert FaultDice((faults.REFUSE,), 1.0).is_down
    assert not FaultDice((faults.REFUSE,), 0.9).is_down
    assert not FaultDice((faults.BUSY,), 1.0).is_down


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def models(clock: Clock) -> Callable[..., Residency]:
    return lambda **more: Residency(
        ("llama3:8b", "qwen2"), clock, **{"load_s": 10.0, "preload": False, **more}
    )


def test_a_cold_model_loads_once_for_all_who_ask(models: Callable[..., Residency], clock: Clock) -> None:
    residency = models()
    model = residency.find("qwen2:latest")
    assert model is not None
    assert model is residency.find("qwen2")
    assert residency.enter(model) == 10.0
    clock.now += 4
    assert residency.enter(model) == 6.0
    clock.now += 7
    assert residency.enter(model) == 0.0


def test_a_model_stays_five_minutes_after_its_last_request(
    models: Callable[..., Residency], clock: Clock
) -> None:
    residency = models()
    model = residency.models["llama3:8b"]
    residency.enter(model)
    clock.now += 1000
    assert [name.name for name, _ in residency.loaded()] == ["llama3:8b"]
    residency.leave(model, None)
    assert residency.loaded()[0][1] == 300.0
    clock.now += 300
    assert residency.loaded() == []
    assert residency.enter(model) == 10.0


def test_keep_alive_sets_how_long_it_stays(models: Callable[..., Residency], clock: Clock) -> None:
    residency = models()
    model = residency.models["llama3:8b"]
    residency.enter(model)
    residency.leave(model, 0.0)
    assert residency.loaded() == []
    residency.enter(model)
    residency.leave(model, FOREVER_S)
    residency.enter(model)
    residency.leave(model, None)
    assert residency.loaded()[0][1] == FOREVER_S
    residency.unload(model)
    assert residency.loaded() == []


def test_preloaded_models_are_there_and_stay(models: Callable[..., Residency], clock: Clock) -> None:
    residency = models(preload=True)
    clock.now += 1e6
    assert len(residency.loaded()) == 2
    assert residency.enter(residency.models["llama3:8b"]) == 0.0


@pytest.mark.parametrize(
    ("name", "parameters", "is_embedder"),
    [
        ("llama3:8b", 8.0, False),
        ("qwen2:0.5b", 0.5, False),
        ("tiny", 1.0, False),
        ("nomic-embed-text", 1.0, True),
    ],
)
def test_a_models_size_comes_from_its_name(name: str, parameters: float, is_embedder: bool) -> None:
    model = next(iter(Residency([name], Clock(), load_s=0, preload=False).models.values()))
    assert (model.parameters, model.is_embedder) == (parameters, is_embedder)
    assert model.size == int(parameters * 562_500_000)


@pytest.mark.parametrize(
    ("headers", "welcome"),
    [
        ({}, True),
        ({"host": "127.0.0.1:11434"}, True),
        ({"host": "localhost"}, True),
        ({"host": "[::1]:1"}, True),
        ({"host": "192.168.1.5:11434"}, True),
        ({"host": "box.local"}, True),
        ({"host": "llm.example.com"}, False),
        ({"host": "8.8.8.8"}, False),
        ({"host": "localhost", "origin": "http://localhost:3000"}, True),
        ({"host": "localhost", "origin": "tauri://x"}, True),
        ({"host": "localhost", "origin": "http://example.com"}, False),
        ({"host": "[", "origin": "["}, False),
    ],
)
def test_on_loopback_ollama_suspects_foreign_names_and_pages(headers: dict[str, str], welcome: bool) -> None:
    assert is_welcome("127.0.0.1", headers) is welcome
    assert is_welcome("10.0.0.1", headers)


def test_the_options_of_a_full_command_line() -> None:
    line = (
        "--host ::1 --port 0 --latency-ms 20 --tokens-per-second 50 --slots 2 --model a --model b,c --fail-rate 0.1 "
        "--echo --dialect openai --fault cut,503 --fault hang --seed 5 --first-token-ms 10 --load-seconds 3 --words 9 "
        "--max-queue 7 --parallel-slowdown 0.5 --ctx 512 --no-chat 404 --preload --api-key k --slow-seconds 2"
    )
    assert parse_options(line.split()) == Options(
        host="::1",
        port=0,
        dialect="openai",
        models=("a", "b", "c"),
        latency_s=0.02,
        first_token_s=0.01,
        tokens_per_second=50,
        parallel_slowdown=0.5,
        load_s=3,
        preload=True,
        slots=2,
        max_queue=7,
        words=9,
        echo=True,
        ctx=512,
        no_chat=404,
        api_key="k",
        faults=("cut", "503", "hang"),
        fail_rate=0.1,
        slow_first_token_s=2,
        seed=5,
    )


def test_each_dialect_has_its_own_port_and_queue() -> None:
    assert (parse_options([]).port, parse_options([]).max_queue) == (11434, 512)
    openai = parse_options(["--dialect", "openai"])
    assert (openai.port, openai.max_queue) == (8080, None)


@pytest.mark.parametrize(
    "flags",
    [
        "--fail-rate 2",
        "--slots 0",
        "--fault x",
        "--latency-ms -1",
        "--port 70000",
        "--words x",
        "--no-chat 500",
    ],
)
def test_flags_that_make_no_sense_are_refused(flags: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_options(flags.split())
    assert caught.value.code == 2
    assert flags.split()[0] in capsys.readouterr().err
