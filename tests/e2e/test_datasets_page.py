"""The pages of datasets in a real browser: preview, dry run, items and the drawer, two jobs side by side, on paper."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datasets.parsing import DatasetParser, RowError
from datasets.rows import prompt_messages
from tests.chaos.installation import Installation
from tests.e2e.browser import CHROMIUM, MISSING
from tests.e2e.test_pages import (
    HOSTILE,
    JOB_MS,
    SOON_MS,
    expect,
    is_live,
    person,
    state,
    upload,
)
from tests.engines.simulated import SimulatedEngine

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
ROW = {"instruction": f"say {HOSTILE}", "input": "# a **title**", "id": 1}
DROP = """([name, text]) => {
    const given = new DataTransfer();
    given.items.add(new File([text], name));
    const told = { dataTransfer: given, bubbles: true, cancelable: true };
    document.querySelector("[data-drop]").dispatchEvent(new DragEvent("drop", told));
}"""
FILES: dict[str, bytes] = {
    "an array": json.dumps([ROW, {"messages": [{"role": "user", "content": "hi"}]}]).encode(),
    "lines": b'{"instruction": "a"}\r\n\n{"instruction": "b", "input": "c"}',
    "with a mark": b'\xef\xbb\xbf[{"instruction": "a"}]',
    "nothing": b" \n",
    "an empty array": b"[ ]",
    "words": b"hello",
    "utf-16": '[{"instruction": "a"}]'.encode("utf-16"),
    "latin": '[{"instruction": "é"}]'.encode("latin-1"),
    "cut": b'[{"instruction": "a"}, {"instr',
    "cut after a comma": b'[{"instruction": "a"},',
    "no comma": b'[{"instruction": "a"} {"instruction": "b"}]',
    "a number": b'[{"instruction": "a"}, 7]',
    "not json": b'{"instruction": "a"}\n{"instruction": }',
    "an array on a line": b'{"instruction": "a"}\n[1]',
    "no instruction": b'[{"instruction": "a"}, {"x": 1}]',
    "empty instruction": b'[{"instruction": " "}]',
    "number as instruction": b'[{"instruction": 7}]',
    "number as input": b'[{"instruction": "a", "input": 7}]',
    "no messages": b'[{"messages": []}]',
    "message without role": b'[{"messages": [{"content": "a"}]}]',
    "message without content": b'[{"messages": [{"role": "user"}]}]',
    "tool calls": b'[{"messages": [{"role": "assistant", "tool_calls": [{"id": "1"}]}]}]',
    "parts": b'[{"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]}]',
    "bad parts": b'[{"messages": [{"role": "user", "content": [{"text": "a"}]}]}]',
    "nul": b'[{"instruction": "a\\u0000"}]',
    "escaped backslash": b'[{"instruction": "a\\\\u0000 \\"} ] {"}]',
    "half a character": b'[{"instruction": "\\ud83d"}]',
    "whole character": b'[{"instruction": "\\ud83d\\ude00"}]',
    "deep": b'[{"instruction": "a", "x": ' + b"[" * 70 + b"]" * 70 + b"}]",
    "large": json.dumps([{"instruction": "好" * 400_000}], ensure_ascii=False).encode(),
}


@pytest.fixture(scope="module")
def site() -> Iterator[Installation]:
    """One installation with an engine that works and one that fails each second prompt."""
    made = Installation(DPL_POLL_INTERVAL_S=1)
    try:
        made.start()
        flags: dict[str, Any] = {"tokens_per_second": 0, "slots": 4, "echo": True, "latency_ms": 100}
        with SimulatedEngine(**flags) as one, SimulatedEngine(fail_rate=0.5, **flags) as other:
            made.manage("node", "add", "good", "--llm", one.url, "--slots", "4")
            made.manage("node", "add", HOSTILE, "--llm", other.url, "--slots", "4")
            yield made
    finally:
        made.stop()


def rows(count: int) -> list[dict[str, Any]]:
    return [{"instruction": f"say {number}"} for number in range(count)]


def ended(page: Any, site: Installation, job_id: str) -> None:
    """Open a job and wait for its end."""
    page.goto(f"{site.url}/jobs/{job_id}/")
    expect(state(page)).to_have_text("completed", timeout=JOB_MS)


def checked(content: bytes) -> tuple[int, int | None, bool]:
    """What the server says of a file: its good rows before anything wrong, the bad row, whether it is bad."""
    parser, good = DatasetParser(), 0
    try:
        good = len(parser.feed(content))
        return good + len(parser.close()), None, False
    except RowError as error:
        return error.row or 0, error.row, True


def test_the_preview_judges_files_as_the_server_does(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        for name, content in FILES.items():
            found = page.evaluate(
                """async (bytes) => {
                    const { readRows } = await import("/static/js/rows.js");
                    const limits = { isWhole: true, most: 1000, rowBytes: 1048576 };
                    return readRows(Uint8Array.from(bytes, (one) => one.charCodeAt(0)), limits);
                }""",
                content.decode("latin-1"),
            )
            good, bad_row, is_bad = checked(content)
            problems = found["problems"]
            assert bool(problems) == is_bad, (name, found)
            if not is_bad:
                assert len(found["rows"]) == good, name
            elif bad_row is not None and problems[0]["what"] != "wrong_encoding":
                assert problems[0]["index"] == bad_row, (name, problems)


def test_the_preview_shows_what_will_be_sent(site: Installation, chromium: Any) -> None:
    several = [ROW, {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]}]
    with person(chromium, site) as page:
        for row in several:
            shown = page.evaluate(
                """async ([row, system]) => (await import("/static/js/rows.js")).promptOf(row, system)""",
                [row, "be brief"],
            )
            sent = prompt_messages(json.dumps(row), "be brief")
            assert shown == [{"role": one["role"], "text": one["content"]} for one in sent]


def test_a_dropped_file_is_previewed_tried_and_estimated_before_it_is_sent(
    site: Installation, chromium: Any
) -> None:
    with person(chromium, site) as page:
        page.goto(f"{site.url}/jobs/")
        page.evaluate(DROP, ["dropped.json", json.dumps([ROW] * 500)])
        preview = page.locator("[data-preview]")
        expect(preview).to_contain_text("500 rows")
        expect(preview.locator("pre").first).to_have_text(f"say {HOSTILE}\n\n# a **title**")
        page.click("#upload-form summary")
        page.fill("[name=system]", "be brief")
        expect(preview.locator("pre").first).to_have_text("be brief")
        page.fill("[name=limit]", "400")
        page.locator("label.check", has_text="good").locator("input").check()
        page.get_by_role("button", name="Try three rows").click()
        tried = page.locator("[data-tried]")
        expect(tried.locator("li")).to_have_count(3, timeout=SOON_MS)
        expect(tried.locator("[data-f=estimate]")).to_contain_text("400 rows: about", timeout=SOON_MS)
        expect(tried.locator("pre").first).to_contain_text(HOSTILE)
        assert page.title() == "Jobs · DPL"
        assert page.locator("[name=file]").evaluate("field => field.files[0].name") == "dropped.json"
        page.get_by_role("button", name="Upload and run").click()
        page.wait_for_url(re.compile(r"/jobs/[0-9a-f-]{36}/$"))
        expect(page.locator("[data-f=total]")).to_have_text("400")


def test_bad_rows_are_named_before_anything_is_sent(
    site: Installation, chromium: Any, tmp_path: Path
) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text(
        "\n".join(json.dumps(row) for row in ({"instruction": "a"}, {"instruction": 7}, {"x": 1}))
    )
    with person(chromium, site) as page:
        page.goto(f"{site.url}/jobs/")
        page.set_input_files("[name=file]", file)
        problems = page.locator("[data-list=problems] li")
        expect(problems).to_have_text(
            ["Row 1: instruction must be a text", "Row 2: neither instruction nor messages is there"]
        )
        expect(page.locator("[data-f=about]")).to_contain_text("2 cannot be used")


def test_a_refused_file_is_told_in_the_readers_language_and_the_form_stays(
    site: Installation, chromium: Any, tmp_path: Path
) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text('{"instruction": "a"}\n{"instruction": 7}')
    # The mistake of the file is the server's answer, which the browser notes on its console.
    with person(chromium, site, locale="zh-CN", expected="400") as page:
        page.goto(f"{site.url}/jobs/")
        page.set_input_files("[name=file]", file)
        expect(page.locator("[data-f=mend]")).to_contain_text("从 0 开始")
        page.click("#upload-form summary")
        page.fill("[name=name]", "kept")
        page.locator("#upload-form button.primary").click()
        told = page.locator("[data-errors=file] li")
        expect(told).to_contain_text("第 1 行：instruction 的类型不对")
        expect(told).to_contain_text("请修正文件后重新选择")
        expect(page.locator("[name=name]")).to_have_value("kept")
        assert page.locator("[name=file]").evaluate("field => field.files[0].name") == "bad.jsonl"
        mended = tmp_path / "mended.jsonl"
        mended.write_text('{"instruction": "a"}')
        page.set_input_files("[name=file]", mended)
        expect(told).to_have_count(0)


def test_a_file_that_was_changed_since_is_told_and_chosen_again(
    site: Installation, chromium: Any, tmp_path: Path
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"instruction": "a"}')
    with person(chromium, site, expected="ERR_UPLOAD_FILE_CHANGED") as page:
        page.goto(f"{site.url}/jobs/")
        page.set_input_files("[name=file]", file)
        file.write_text('{"instruction": "a"}\n{"instruction": "b"}')
        page.get_by_role("button", name="Upload and run").click()
        expect(page.locator("[data-errors=file] li")).to_contain_text("Choose it again.")
        with page.expect_file_chooser() as choosing:
            page.locator("[name=file]").click()
        choosing.value.set_files(file)
        expect(page.locator("[data-f=about]")).to_contain_text("2 rows")
        expect(page.locator("[data-errors=file] li")).to_have_count(0)


def test_a_long_upload_says_how_far_it_is_and_can_be_cancelled(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        page.goto(f"{site.url}/jobs/")
        before = page.locator("tbody[data-list=jobs] tr").count()
        network = page.context.new_cdp_session(page)
        slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 200_000}
        network.send("Network.emulateNetworkConditions", slow)
        page.evaluate(DROP, ["large.jsonl", (json.dumps({"instruction": "x" * 1000}) + "\n") * 3000])
        page.get_by_role("button", name="Upload and run").click()
        expect(page.locator("[data-sending]")).to_contain_text(re.compile(r"of 2\.9 MiB, .* left"))
        assert page.get_by_role("button", name="Upload and run").is_disabled()
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("[data-upload-status]")).to_have_text("Cancelled. Nothing was kept of it.")
        expect(page.locator("[data-sending]")).to_be_hidden()
        expect(page.get_by_role("button", name="Upload and run")).to_be_enabled()
        assert page.locator("tbody[data-list=jobs] tr").count() == before


def test_of_a_large_file_only_the_beginning_is_read(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        page.goto(f"{site.url}/jobs/")
        page.evaluate(
            """() => {
                const slice = Blob.prototype.slice;
                window.most = 0;
                Blob.prototype.slice = function (from, to) {
                    window.most = Math.max(window.most, to);
                    return slice.call(this, from, to);
                };
                const given = new DataTransfer();
                const row = JSON.stringify({ instruction: "x".repeat(1000) }) + "\\n";
                given.items.add(new File([row.repeat(20000)], "large.jsonl"));
                const field = document.querySelector("[name=file]");
                field.files = given.files;
                field.dispatchEvent(new Event("change"));
            }"""
        )
        expect(page.locator("[data-f=about]")).to_contain_text(re.compile(r"About (19|20),\d{3} rows"))
        assert page.evaluate("window.most") <= 256 * 1024


def test_errors_lead_to_their_items_and_an_item_opens_beside_them(site: Installation, chromium: Any) -> None:
    job_id = site.upload(rows(60), attempts=1)
    with person(chromium, site) as page:
        ended(page, site, job_id)
        failed = int(page.locator("[data-f=failed]").inner_text())
        assert failed
        expect(page.locator("[data-list=errors]")).to_contain_text("Look at the engine's own log")
        page.locator("[data-list=errors] a").first.click()
        expect(page).to_have_url(re.compile(r"\?state=failed&cause=engine_error#items$"))
        lines = page.locator("#items tbody tr")
        expect(lines).to_have_count(min(failed, 25))
        index = lines.first.locator("a").get_attribute("data-item")
        lines.first.locator("a").click()
        drawer = page.locator("#drawer")
        expect(drawer.locator("h2")).to_have_text(f"Item {index}")
        expect(drawer).to_contain_text(f"say {index}")
        expect(drawer).to_contain_text("Attempts that came to nothing")
        expect(page).to_have_url(f"{site.url}/jobs/{job_id}/items/{index}/")
        drawer.get_by_role("link", name="Next").focus()
        page.keyboard.press("Enter")
        expect(drawer.locator("h2")).to_have_text(f"Item {int(index) + 1}")
        expect(drawer.get_by_role("link", name="Next")).to_be_focused()
        page.keyboard.press("ArrowLeft")
        expect(drawer.locator("h2")).to_have_text(f"Item {index}")
        expect(drawer.locator("h2")).to_be_focused()
        page.keyboard.press("Escape")
        expect(drawer).to_be_hidden()
        expect(page).to_have_url(re.compile(r"\?state=failed"))
        page.go_forward()
        expect(drawer.locator("h2")).to_have_text(f"Item {index}")
        page.reload()
        expect(page.locator("main article h2")).to_have_text(f"Item {index}")


def test_the_items_follow_the_job_live(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        job_id = site.upload(rows(300))
        page.goto(f"{site.url}/jobs/{job_id}/")
        is_live(page)
        expect(page.locator("#items .state[data-is=succeeded]").first).to_be_visible(timeout=SOON_MS)
        expect(state(page)).to_have_text("completed", timeout=JOB_MS)
        expect(page.locator("[data-pace] canvas")).to_be_visible()


def test_an_output_is_text_and_as_markdown_still_harmless(site: Installation, chromium: Any) -> None:
    text = (
        f"# A title\n\n{HOSTILE} <script>document.title='broken'</script> [x](javascript:alert(1)) **bold**"
    )
    job_id = site.upload([{"instruction": text}], attempts=10)
    with person(chromium, site) as page:
        ended(page, site, job_id)
        page.goto(f"{site.url}/jobs/{job_id}/items/0/")
        expect(page.locator("[data-output]")).to_contain_text("<script>")
        page.get_by_role("button", name="As Markdown").click()
        shown = page.locator("[data-shown]")
        expect(shown.locator("h1")).to_have_text("A title")
        expect(shown.locator("strong")).to_have_text("bold")
        assert shown.locator("img, script, [onerror], a[href^=javascript]").count() == 0
        assert page.title().startswith("Item 0")


def test_two_jobs_are_compared_row_by_row(site: Installation, chromium: Any) -> None:
    one = site.upload(rows(12), name="one run", attempts=20)
    other = site.upload(rows(12), name="other run", attempts=20, system="loudly")
    with person(chromium, site) as page:
        for job_id in (one, other):
            ended(page, site, job_id)
        page.goto(f"{site.url}/jobs/{one}/")
        page.get_by_role("link", name="Compare…").click()
        page.locator("[name=other]").select_option(other)
        page.get_by_role("button", name="Compare", exact=True).click()
        expect(page.locator(".pair")).to_have_count(10)
        expect(page.locator(".sides h2")).to_have_text(["one run", "other run"])
        page.get_by_role("link", name="Later rows").click()
        expect(page.locator(".pair")).to_have_count(2)


def test_the_list_is_searched_by_its_address_and_stays_live(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        job_id = site.upload(rows(40), name="needle in hay")
        page.goto(f"{site.url}/jobs/")
        page.keyboard.press("/")
        page.keyboard.type("needle")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(r"search=needle"))
        expect(page.locator("tbody[data-list=jobs] tr")).to_have_count(1)
        expect(page.locator(f"[data-key='{job_id}'] .state")).to_have_text("completed", timeout=JOB_MS)


def test_a_report_on_paper_has_no_controls(site: Installation, chromium: Any) -> None:
    job_id = site.upload(rows(5))
    with person(chromium, site) as page:
        ended(page, site, job_id)
        page.emulate_media(media="print")
        for hidden in (".top", "#items .filter", ".actions", "[data-live]"):
            expect(page.locator(hidden).first).to_be_hidden()
        for seen in ("h1", ".sums", "#nodes", "#items table", "#options"):
            expect(page.locator(seen).first).to_be_visible()


def test_it_works_without_scripts(site: Installation, chromium: Any, tmp_path: Path) -> None:
    job_id = site.upload(rows(40), name="plain")
    with person(chromium, site, java_script_enabled=False) as page:
        page.goto(f"{site.url}/jobs/{job_id}/")
        page.click("text=Later items")
        expect(page.locator("#items tbody tr")).to_have_count(15)
        page.locator("#items tbody a").first.click()
        expect(page.locator("article h2")).to_have_text("Item 25")
        upload(page, site, _file(tmp_path))
        expect(page.locator("[data-f=total]")).to_have_text("9")


def test_a_phone_scrolls_no_page_sideways(site: Installation, chromium: Any) -> None:
    job_id = site.upload([{"instruction": "x" * 3_000}] * 3, name="y" * 150)
    with person(chromium, site, viewport={"width": 390, "height": 800}, locale="zh-CN") as page:
        for path in (
            f"{job_id}/",
            f"{job_id}/items/0/",
            f"compare/?one={job_id}&other={job_id}",
            "?search=y",
        ):
            page.goto(f"{site.url}/jobs/{path}")
            page.wait_for_timeout(500)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        page.goto(f"{site.url}/jobs/{job_id}/")
        page.locator("[data-item]").first.click()
        expect(page.locator("#drawer article")).to_be_visible()
        assert page.evaluate("document.getElementById('drawer').scrollWidth <= innerWidth")


def _file(folder: Path) -> Path:
    file = folder / "rows.json"
    file.write_text(json.dumps(rows(9)))
    return file
