"""The pages of items as each role gets them: the list with its filter, one item, two jobs side by side, the search."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from accounts.models import User
from datasets.models import Item, ItemOutput, Job
from datasets.options import JobOptions
from tests.datasets.making import a_job, an_engine
from tests.datasets.test_pages import HOSTILE, browser, failed_items, owned, seen, uploaded

pytestmark = pytest.mark.django_db

ITEMS = {"X-Part": "items"}


def of_otto(people: dict[str, User], count: int = 3, **changes: object) -> Job:
    return owned(a_job(count), people["otto"], **changes)


def listed(page: str) -> list[int]:
    """Which items a page lists."""
    return [int(part.partition('"')[0]) for part in page.split('data-item="')[1:]]


def test_a_jobs_page_lists_its_first_items_and_leads_on(people: dict[str, User]) -> None:
    job = of_otto(people, 60)
    client = browser(people["otto"])
    page = seen(client.get(f"/jobs/{job.id}/"))
    assert listed(page) == list(range(25))
    assert "?from=25#items" in page
    assert listed(seen(client.get(f"/jobs/{job.id}/?from=50"))) == list(range(50, 60))


def test_errors_and_nodes_lead_to_their_items(people: dict[str, User]) -> None:
    engine = an_engine("fast")
    job = of_otto(people, 10)
    failed_items(job, 4, node_id=engine.node_id)
    client = browser(people["otto"])
    page = seen(client.get(f"/jobs/{job.id}/"))
    for query, wanted in (
        ("state=failed&amp;cause=engine_error", [0, 1, 2, 3]),
        (f"node={engine.node_id}", [0, 1, 2, 3]),
        ("state=pending", [4, 5, 6, 7, 8, 9]),
    ):
        assert f"?{query}#items" in page or query == "state=pending"
        assert listed(seen(client.get(f"/jobs/{job.id}/?{query.replace('&amp;', '&')}"))) == wanted


def test_the_list_alone_is_for_the_script_others_are_led_to_the_page(people: dict[str, User]) -> None:
    job = of_otto(people)
    client = browser(people["otto"])
    response = client.get(f"/jobs/{job.id}/items/?state=failed")
    assert response["Location"] == f"/jobs/{job.id}/?state=failed#items"
    response = client.get(f"/jobs/{job.id}/items/?state=pending", headers=ITEMS)
    part = seen(response)
    assert part.lstrip().startswith("<section")
    assert listed(part) == [0, 1, 2]
    assert response["Cache-Control"] == "no-store"


def test_an_item_has_a_page_of_its_own_and_a_part_for_the_drawer(people: dict[str, User]) -> None:
    job = of_otto(people)
    client = browser(people["otto"])
    page = seen(client.get(f"/jobs/{job.id}/items/1/"))
    assert "say 1" in page
    assert "There is no output yet." in page
    assert f"/jobs/{job.id}/items/0/" in page
    assert f"/jobs/{job.id}/items/2/" in page
    part = seen(client.get(f"/jobs/{job.id}/items/1/", headers={"X-Part": "item"}))
    assert part.lstrip().startswith("<article")
    assert client.get(f"/jobs/{job.id}/items/3/").status_code == 404
    assert client.get(f"/jobs/{job.id}/items/{10**12}/").status_code == 404


@pytest.mark.parametrize("path", ["items/", "items/0/"])
def test_another_persons_items_are_not_there(people: dict[str, User], path: str) -> None:
    job = of_otto(people)
    assert browser(people["stan"]).get(f"/jobs/{job.id}/{path}", headers=ITEMS).status_code == 404
    assert browser(people["ada"]).get(f"/jobs/{job.id}/{path}", headers=ITEMS).status_code == 200
    assert Client().get(f"/jobs/{job.id}/{path}")["Location"].startswith("/login/")


def test_prompts_and_outputs_are_text_and_never_markup(people: dict[str, User]) -> None:
    row = json.dumps({"messages": [{"role": HOSTILE, "content": HOSTILE}], HOSTILE: HOSTILE})
    job = owned(a_job([row]), people["otto"])
    item = Item.objects.get(job=job)
    reply = {"message": {"content": HOSTILE, "thinking": HOSTILE, "tool_calls": [{HOSTILE: 1}]}}
    ItemOutput.objects.create(item=item, text=json.dumps(reply))
    Item.objects.update(state="succeeded", model=HOSTILE, error=HOSTILE, cause=HOSTILE[:40])
    client = browser(people["otto"])
    for path in (f"{job.id}/items/0/", f"{job.id}/", f"compare/?one={job.id}&other={job.id}"):
        page = seen(client.get(f"/jobs/{path}"))
        assert "<script>alert" not in page
        assert "&lt;script&gt;" in page


def test_two_jobs_are_chosen_and_compared(people: dict[str, User]) -> None:
    one, other = of_otto(people, 2, name="first run"), of_otto(people, 2, name="second run")
    client = browser(people["otto"])
    assert "second run" in seen(client.get(f"/jobs/compare/?one={one.id}"))
    page = seen(client.get(f"/jobs/compare/?one={one.id}&other={other.id}"))
    assert 'id="row-1"' in page
    assert f"/jobs/{other.id}/items/1/" in page
    page = seen(client.get(f"/jobs/compare/?one={one.id}&other={other.id}&only=different"))
    assert "No row differs" in page


def test_another_persons_job_is_not_compared(people: dict[str, User]) -> None:
    mine, his = of_otto(people), owned(a_job(1), people["stan"], name="of stan")
    client = browser(people["otto"])
    assert client.get(f"/jobs/compare/?one={mine.id}&other={his.id}").status_code == 404
    assert "of stan" not in seen(client.get(f"/jobs/compare/?one={mine.id}"))


def test_the_list_is_searched_filtered_and_ordered_by_its_address(people: dict[str, User]) -> None:
    for name, state in (
        ("poems b", "completed"),
        ("mails", "completed"),
        ("poems a", "stopped"),
        ("poems c", "completed"),
    ):
        of_otto(people, 1, name=name, state=state)
    client = browser(people["otto"])

    def names(query: str) -> list[str]:
        page = seen(client.get(f"/jobs/?{query}"))
        return [part.partition(">")[2].partition("<")[0] for part in page.split('<a data-f="name"')[1:]]

    assert names("search=POEMS&sort=name") == ["poems a", "poems b", "poems c"]
    assert names("state=stopped") == ["poems a"]
    assert names("sort=created")[0] == "poems b"
    assert names("state=odd&sort=odd") == ["poems c", "poems a", "mails", "poems b"]
    assert "No job is like that" in seen(client.get("/jobs/?search=nothing"))
    assert "page_size=20&amp;search=a%26b&amp;sort=name" in seen(client.get("/jobs/?search=a%26b&sort=name"))


def test_a_range_of_rows_and_the_plain_parameters_take_effect(people: dict[str, User]) -> None:
    rows = [{"instruction": f"say {number}"} for number in range(10)]
    uploaded(
        browser(people["otto"]),
        rows,
        offset="4",
        limit="3",
        temperature="0.5",
        max_tokens="20",
        options='{"seed": 1}',
    )
    job = Job.objects.get()
    options = JobOptions.from_json(job.options)
    assert (job.total, options.offset) == (3, 4)
    assert options.sampling == {"temperature": 0.5, "max_tokens": 20, "seed": 1}


def test_a_dry_run_without_scripts_is_a_job_of_three_rows_that_says_so(people: dict[str, User]) -> None:
    rows = [{"instruction": f"say {number}"} for number in range(10)]
    client = browser(people["otto"])
    uploaded(client, rows, dry_run="yes", exclusive="on")
    job = Job.objects.get()
    assert job.total == 3
    assert not job.options["exclusive"]
    assert "dry run" in seen(client.get(f"/jobs/{job.id}/"))
    assert f"/jobs/{job.id}/" in seen(client.get("/jobs/?dry_runs=yes"))


def test_an_offset_beyond_the_file_is_told_at_its_field(people: dict[str, User]) -> None:
    page = seen(uploaded(browser(people["otto"]), offset="2"), 400)
    assert "none is left to run" in page.partition('data-errors="offset">')[2].partition("</ul>")[0]
    assert not Job.objects.exists()


def test_what_differs_between_two_answers_stands_in_marks_of_its_own(people: dict[str, User]) -> None:
    one, other = of_otto(people, 2), of_otto(people, 2)
    for job, said in ((one, "red <b>"), (other, "blue <b>")):
        for item in Item.objects.filter(job=job):
            text = f"a {said if item.index else 'green'} dog barks"
            ItemOutput.objects.create(item=item, text=json.dumps({"message": {"content": text}}))
    Item.objects.update(state="succeeded")
    page = seen(browser(people["otto"]).get(f"/jobs/compare/?one={one.id}&other={other.id}"))
    assert '<del><span class="unseen">[only here: </span>red<span' in page
    assert '<ins><span class="unseen">[only here: </span>blue<span' in page
    assert " &lt;b&gt; dog" in page
    assert "1 of the 2 rows on this page differ" in page
    assert page.count("Show the answers") == 1
