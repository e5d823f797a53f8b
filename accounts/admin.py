"""People and keys in Django's admin: a role instead of groups, and keys that are shown once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import UserChangeForm
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts import roles
from accounts.authentication import role_of_user
from accounts.limits import LIMITS
from accounts.models import ApiKey, User
from accounts.services import is_last_admin, key_create, key_limit, key_revoke, role_set
from dpl_site.lib.refusals import Refused

if TYPE_CHECKING:
    KeyModelAdmin = admin.ModelAdmin[ApiKey]
    KeyModelForm = forms.ModelForm[ApiKey]
    PersonModelAdmin = UserAdmin[User]
    PersonModelForm = UserChangeForm[User]
else:
    KeyModelAdmin, KeyModelForm = admin.ModelAdmin, forms.ModelForm
    PersonModelAdmin, PersonModelForm = UserAdmin, UserChangeForm

_ROLE_CHOICES = [(roles.NO_ROLE, "none: may do nothing"), *((role, role) for role in roles.ROLES)]


class PersonForm(PersonModelForm):
    """A person with one role."""

    role = forms.ChoiceField(choices=_ROLE_CHOICES, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["role"].initial = role_of_user(self.instance)

    def clean(self) -> dict[str, Any]:
        """Refuses to leave the installation without an admin."""
        data = super().clean() or self.cleaned_data
        stays_admin = data.get("role") == roles.ADMIN and data.get("is_active")
        if self.instance.pk and not stays_admin and is_last_admin(self.instance):
            raise forms.ValidationError("This is the last admin. Make somebody else admin first.")
        return data


@admin.register(User)
class PersonAdmin(PersonModelAdmin):
    """People; the role is set by `services.role_set`."""

    form = PersonForm
    list_display = ("username", "role", "email", "is_active", "last_login")
    list_filter = ("is_active", "groups")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Role", {"fields": ("role", "is_active")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("last_login", "date_joined")

    @admin.display(description="role")
    def role(self, person: User) -> str:
        """The role, for the list."""
        return role_of_user(person) or "none"

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Set the role once the person is saved."""
        super().save_related(request, form, formsets, change)
        if "role" in form.cleaned_data and form.cleaned_data["role"] != role_of_user(form.instance):
            role_set(user=form.instance, role=form.cleaned_data["role"])

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """People are made inactive instead: their jobs and keys keep an owner."""
        return False


class NewKeyForm(KeyModelForm):
    """What is asked for a new key."""

    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in roles.SCOPES],
        widget=forms.CheckboxSelectMultiple,
        required=False,
        help_text="None chosen: all that the person's role allows.",
    )

    class Meta:
        model = ApiKey
        fields = ("user", "name", "scopes", "expires_at", *LIMITS)

    made: tuple[ApiKey, str]

    def clean(self) -> dict[str, Any]:
        """Makes the key, so that a refusal stands beside the form."""
        data = super().clean() or self.cleaned_data
        if not self.errors:
            try:
                self.made = key_create(
                    user=data["user"],
                    name=data["name"],
                    scopes=data["scopes"] or None,
                    expires_at=data["expires_at"],
                    limits={name: data[name] for name in LIMITS},
                )
            except Refused as refused:
                raise forms.ValidationError(refused.message) from refused
        return data


class KeyLimitsForm(KeyModelForm):
    """The limits of a key that there is."""

    class Meta:
        model = ApiKey
        fields = LIMITS

    def clean(self) -> dict[str, Any]:
        """Sets them, so that a refusal stands beside the form."""
        data = super().clean() or self.cleaned_data
        if not self.errors:
            try:
                key_limit(key=self.instance, limits={name: data[name] for name in LIMITS})
            except Refused as refused:
                raise forms.ValidationError(refused.message) from refused
        return data


@admin.register(ApiKey)
class KeyAdmin(KeyModelAdmin):
    """Keys: made (and then shown once), limited and revoked; nothing else of them changes, none is deleted."""

    form = NewKeyForm
    list_display = (
        "name",
        "prefix",
        "user",
        "scopes",
        "created_at",
        "last_used_at",
        "expires_at",
        "revoked_at",
        *LIMITS,
    )
    list_filter = ("user",)
    search_fields = ("name", "prefix", "user__username")
    actions = ("revoke",)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        """Show the key that the form made; of one that there was, the form has set the limits."""
        if change:
            return
        key, plain = form.made
        obj.pk = key.pk
        messages.warning(request, f"The key is {plain}. Keep it now; it is never shown again.")

    def get_form(
        self, request: HttpRequest, obj: ApiKey | None = None, change: bool = False, **kwargs: Any
    ) -> type[KeyModelForm]:
        """A new key, or the limits of one that there is."""
        return super().get_form(request, obj, change, **kwargs | ({"form": KeyLimitsForm} if change else {}))

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        """Of a key that there is, what it is called and its limits."""
        return ("user", "name", "prefix", "scopes", "expires_at", *LIMITS) if obj else NewKeyForm.Meta.fields

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        """Only limits change."""
        return ("user", "name", "prefix", "scopes", "expires_at") if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """A key is revoked instead, so that its traces keep their name."""
        return False

    @admin.action(description="Revoke the chosen keys", permissions=["view"])
    def revoke(self, request: HttpRequest, chosen: QuerySet[ApiKey]) -> None:
        """End the chosen keys."""
        for key in chosen:
            key_revoke(key=key)
        messages.success(request, f"{len(chosen)} revoked.")


admin.site.unregister(Group)
