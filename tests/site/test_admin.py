"""Django's admin as a whole: every page of it opens, what processes write is only read, and it is all in Chinese."""

from __future__ import annotations

import re

import pytest
from django.contrib import admin
from django.core.management import call_command
from django.db.models import Field
from django.test import Client
from django.urls import reverse
from django.utils.translation import override

from accounts.models import User

pytestmark = pytest.mark.django_db

EDITED = {
    *("User", "ApiKey", "Node", "ModelAlias", "Rule", "Silence", "Channel"),
    "AccessAttempt",  # removing one lets a person in again
}
"""What people may change; everything else is written by processes."""
CHINESE = re.compile(r"[\u4e00-\u9fff]")
FOREIGN = {"AccessAttempt", "LogEntry", "User"}
"""Tables of other packages, or with columns of theirs, which bring their own words."""
REGISTERED = sorted(admin.site._registry.items(), key=lambda pair: pair[0]._meta.label)


@pytest.fixture
def ada(people: dict[str, User]) -> Client:
    client = Client()
    client.force_login(people["ada"])
    return client


@pytest.mark.parametrize(("model", "page"), REGISTERED, ids=[model.__name__ for model, _ in REGISTERED])
class TestEach:
    """Each table that the admin shows."""

    def test_its_list_opens_and_can_be_searched(
        self, ada: Client, model: type, page: admin.ModelAdmin[User]
    ) -> None:
        path = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")  # type: ignore[attr-defined]
        assert page.search_fields, "it has no field to search in"
        for query in ("", "?q=nothing"):
            assert ada.get(path + query).status_code == 200

    def test_only_what_people_configure_can_be_changed(
        self, ada: Client, people: dict[str, User], model: type, page: admin.ModelAdmin[User]
    ) -> None:
        request = ada.get("/admin/").wsgi_request
        may = (
            page.has_add_permission(request),
            page.has_change_permission(request),
            page.has_delete_permission(request),
        )
        assert (model.__name__ in EDITED) is any(may)

    def test_it_has_a_chinese_name(self, db: None, model: type, page: admin.ModelAdmin[User]) -> None:
        with override("zh-hans"):
            assert CHINESE.search(str(model._meta.verbose_name))  # type: ignore[attr-defined]
            assert CHINESE.search(str(model._meta.app_config.verbose_name))  # type: ignore[attr-defined]

    def test_its_columns_have_chinese_names(
        self, ada: Client, model: type, page: admin.ModelAdmin[User]
    ) -> None:
        if model.__name__ in FOREIGN:
            pytest.skip("its columns are named by the package that it comes from")
        fields = {field.name: field for field in model._meta.get_fields() if isinstance(field, Field)}  # type: ignore[attr-defined]
        with override("zh-hans"):
            shown = [fields[name] for name in page.list_display if isinstance(name, str) and name in fields]
            names = {field.name: str(field.verbose_name) for field in shown if field.name != "id"}
        assert [name for name, text in names.items() if not CHINESE.search(text)] == []


def test_the_head_leads_back_to_the_pages(ada: Client) -> None:
    page = ada.get("/admin/").content.decode()
    assert "DPL administration" in page
    assert '<a href="/">Back to the pages</a>' in page
    chinese = ada.get("/admin/", headers={"Accept-Language": "zh-CN"}).content.decode()
    assert "DPL 管理" in chinese
    assert "返回页面" in chinese


def test_it_runs_under_a_policy_without_inline_scripts_and_styles(ada: Client) -> None:
    for path in (
        "/admin/",
        "/admin/accounts/apikey/add/",
        "/admin/nodes/node/",
        "/admin/alerts/silence/add/",
    ):
        response = ada.get(path)
        assert "unsafe" not in response["Content-Security-Policy"]
        scripts = [
            line
            for line in response.content.decode().split("<script")[1:]
            if "src=" not in line.split(">")[0]
        ]
        assert [one for one in scripts if "application/json" not in one.split(">")[0]] == []


def test_the_names_change_no_table() -> None:
    """They are put on beside the tables, so that no migration follows from them."""
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)
