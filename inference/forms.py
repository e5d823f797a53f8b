"""The forms in which people enter nodes and engines in Django's admin: checks say what is wrong at the field."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from django import forms
from django.utils.translation import gettext_lazy as _

from dpl_site.lib.refusals import Refused
from inference import validation
from inference.looking import EngineEntry, Looked, look
from inference.models import Engine, EngineModel, ModelAlias
from inference.surfaces.base import AUTO
from nodes.models import Node

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

    NodeModelForm = forms.ModelForm[Node]
    EngineModelForm = forms.ModelForm[Engine]
    AliasModelForm = forms.ModelForm[ModelAlias]
    EngineFormSet = forms.BaseInlineFormSet[Engine, Node, forms.ModelForm[Engine]]
else:
    NodeModelForm = EngineModelForm = AliasModelForm = forms.ModelForm
    EngineFormSet = forms.BaseInlineFormSet

T = TypeVar("T")
KEEP = _("It is never shown again. Leave this empty to keep it.")


def secret_field(label: _StrPromise) -> forms.CharField:
    """A field whose value goes in and never comes out."""
    return forms.CharField(
        label=label,
        required=False,
        help_text=KEEP,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )


def checked(check: Callable[[], T]) -> T:
    """What a check gives; its refusal as a form's error."""
    try:
        return check()
    except Refused as refused:
        raise forms.ValidationError(refused.message, code=refused.code) from refused


class NodeForm(NodeModelForm):
    """A node as people configure it."""

    agent_token = secret_field(_("Agent's token"))
    forget_token = forms.BooleanField(label=_("Forget the agent's token"), required=False)

    class Meta:
        model = Node
        fields = ("name", "monitor_base_url", "environment", "labels")

    def clean_name(self) -> str:
        """A name that is free."""
        return checked(lambda: validation.node_name(self.cleaned_data["name"], node_id=self.instance.pk or 0))

    def clean_monitor_base_url(self) -> str:
        """An address that may be called and is free."""
        pasted = self.cleaned_data["monitor_base_url"]
        return checked(lambda: validation.agent_address(pasted, node_id=self.instance.pk or 0))

    def clean_environment(self) -> str:
        """A name."""
        return checked(lambda: validation.environment(self.cleaned_data["environment"]))

    def clean_labels(self) -> dict[str, str]:
        """Texts by name."""
        return checked(lambda: validation.labels(self.cleaned_data["labels"]))

    def clean_agent_token(self) -> str:
        """What a header can carry."""
        return checked(lambda: validation.secret(self.cleaned_data["agent_token"], field="agent_token"))

    def values(self) -> dict[str, Any]:
        """What the services take; a token only when there is a new one or none any more."""
        data = self.cleaned_data
        values = {name: data[name] for name in ("name", "monitor_base_url", "environment", "labels")}
        if data["agent_token"] or data["forget_token"]:
            values["agent_token"] = data["agent_token"]
        return values


class EngineForm(EngineModelForm):
    """An engine as people configure it; it is asked while the form is checked."""

    api_key = secret_field(_("Key"))
    forget_key = forms.BooleanField(label=_("Forget the key"), required=False)
    looked: Looked | None = None

    class Meta:
        model = Engine
        fields = ("base_url", "kind", "slots", "is_enabled")

    def clean_base_url(self) -> str:
        """An address that may be called and is free, as it is kept."""
        self.pasted = self.cleaned_data["base_url"]
        engine_id = self.instance.pk or 0
        return checked(lambda: validation.engine_address(self.pasted, field="base_url", engine_id=engine_id))

    def clean_slots(self) -> int:
        """A number that makes sense."""
        return checked(lambda: validation.slots(self.cleaned_data["slots"]))

    def clean_api_key(self) -> str:
        """What a header can carry."""
        return checked(lambda: validation.secret(self.cleaned_data["api_key"], field="api_key"))

    def clean(self) -> dict[str, Any]:
        """Something that answers there and is no engine is refused at the address."""
        data = super().clean() or self.cleaned_data
        is_other = not self.instance.pk or {"base_url", "kind", "api_key", "forget_key"} & {
            *self.changed_data
        }
        if is_other and data.get("base_url") and data.get("is_enabled") and not self.errors:
            entry = EngineEntry(self.pasted, data["base_url"], self._key(), data["kind"])
            try:
                self.looked = look(engine=entry)
            except Refused as refused:
                self.add_error("base_url", refused.message)
        return data

    def values(self) -> dict[str, Any]:
        """What the services take."""
        data = self.cleaned_data
        values = {name: data[name] for name in ("kind", "slots", "is_enabled")} | {"looked": self.looked}
        if not self.instance.pk or "base_url" in self.changed_data:
            values["llm_url"] = data["base_url"]
        if data["api_key"] or data["forget_key"]:
            values["api_key"] = data["api_key"]
        return values

    def _key(self) -> str:
        data = self.cleaned_data
        kept = "" if data["forget_key"] or not self.instance.pk else self.instance.api_key
        return str(data["api_key"] or kept)


class Engines(EngineFormSet):
    """The engines of one node."""

    def clean(self) -> None:
        """No address twice in one form."""
        super().clean()
        seen: set[str] = set()
        for form in self.forms:
            address = form.cleaned_data.get("base_url") if hasattr(form, "cleaned_data") else None
            if address and address in seen:
                form.add_error("base_url", "This address is in the form twice. Remove one of the two.")
            seen.add(address or "")


class AliasForm(AliasModelForm):
    """Another name of a model."""

    class Meta:
        model = ModelAlias
        fields = ("alias", "model")

    def clean_alias(self) -> str:
        """A name that a request can hold, and that means nothing else yet."""
        name = checked(lambda: validation.model_name(self.cleaned_data["alias"], field="alias"))
        if name in AUTO:
            raise forms.ValidationError(f"{name!r} means: whatever is resident. Take another name.")
        return name

    def clean_model(self) -> str:
        """A model, not another alias; whether some engine has it may change at any time."""
        name = checked(lambda: validation.model_name(self.cleaned_data["model"], field="model"))
        is_alias = ModelAlias.objects.filter(alias=name).exists()
        if is_alias and not EngineModel.objects.filter(name=name).exists():
            raise forms.ValidationError(f"{name} is an alias itself. Enter the model that is meant.")
        return name
