"""People, keys and usage in Django's admin: a role instead of groups, and keys that are shown once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from axes.models import AccessFailureLog, AccessLog
from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import UserChangeForm
from django.contrib.auth.models import Group
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from accounts import roles
from accounts.authentication import role_of_user
from accounts.limits import LIMITS
from accounts.models import ApiKey, UsageDay, User
from accounts.selectors import USAGE_SUMS
from accounts.services import is_last_admin, key_create, key_limit, key_revoke, role_set
from dpl_site.lib.admin import ReadOnly
from dpl_site.lib.clock import utc_now
from dpl_site.lib.refusals import Refused

if TYPE_CHECKING:
    KeyModelAdmin = admin.ModelAdmin[ApiKey]
    KeyModelForm = forms.ModelForm[ApiKey]
    UsageModelAdmin = admin.ModelAdmin[UsageDay]
    PersonModelAdmin = UserAdmin[User]
    PersonModelForm = UserChangeForm[User]
else:
    KeyModelAdmin, UsageModelAdmin, KeyModelForm = admin.ModelAdmin, admin.ModelAdmin, forms.ModelForm
    PersonModelAdmin, PersonModelForm = UserAdmin, UserChangeForm

ROLES = {
    roles.VIEWER: pgettext_lazy("role", "viewer"),
    roles.OPERATOR: pgettext_lazy("role", "operator"),
    roles.ADMIN: pgettext_lazy("role", "admin"),
}
_ROLE_CHOICES = [(roles.NO_ROLE, _("none: may do nothing")), *ROLES.items()]


class PersonForm(PersonModelForm):
    """A person with one role."""

    role = forms.ChoiceField(label=_("role"), choices=_ROLE_CHOICES, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["role"].initial = role_of_user(self.instance)

    def clean(self) -> dict[str, Any]:
        """Refuses to leave the installation without an admin."""
        data = super().clean() or self.cleaned_data
        stays_admin = data.get("role") == roles.ADMIN and data.get("is_active")
        if self.instance.pk and not stays_admin and is_last_admin(self.instance):
            raise forms.ValidationError(gettext("This is the last admin. Make somebody else admin first."))
        return data


@admin.register(User)
class PersonAdmin(PersonModelAdmin):
    """People; the role is set by `services.role_set`."""

    form = PersonForm
    list_display = ("username", "role", "email", "is_active", "last_login")
    list_filter = ("is_active", "groups", "last_login")
    date_hierarchy = "date_joined"
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (_("Role"), {"fields": ("role", "is_active")}),
        (_("Person"), {"fields": ("first_name", "last_name", "email")}),
        (_("Dates"), {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("last_login", "date_joined")

    @admin.display(description=_("role"))
    def role(self, person: User) -> str:
        """The role, for the list."""
        return str(ROLES.get(role_of_user(person), gettext("none")))

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Set the role once the person is saved."""
        super().save_related(request, form, formsets, change)
        if "role" in form.cleaned_data and form.cleaned_data["role"] != role_of_user(form.instance):
            role_set(user=form.instance, role=form.cleaned_data["role"])

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """People are made inactive instead: their jobs and keys keep an owner."""
        return False


class GoodFilter(admin.SimpleListFilter):
    """Keys by whether they are good."""

    title = _("state")
    parameter_name = "good"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Good, expired, revoked."""
        return [("yes", _("good")), ("expired", _("expired")), ("revoked", _("revoked"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        """Those of the kind that is chosen."""
        now = utc_now()
        if self.value() == "yes":
            return queryset.filter(revoked_at=None).exclude(expires_at__lte=now)
        if self.value() == "expired":
            return queryset.filter(revoked_at=None, expires_at__lte=now)
        return queryset.exclude(revoked_at=None) if self.value() == "revoked" else queryset


class NewKeyForm(KeyModelForm):
    """What is asked for a new key."""

    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in roles.SCOPES],
        widget=forms.CheckboxSelectMultiple,
        required=False,
        help_text=_("None chosen: all that the person's role allows."),
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
    list_filter = (GoodFilter, "created_at")
    search_fields = ("name", "prefix", "user__username")
    list_select_related = ("user",)
    autocomplete_fields = ("user",)
    date_hierarchy = "created_at"
    actions = ("revoke",)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        """Show the key that the form made; of one that there was, the form has set the limits."""
        if change:
            return
        key, plain = form.made
        obj.pk = key.pk
        said = gettext("The key is %(key)s. Keep it now; it is never shown again.")
        messages.warning(request, said % {"key": plain})

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

    @admin.action(description=_("Revoke the chosen keys"), permissions=["view"])
    def revoke(self, request: HttpRequest, chosen: QuerySet[ApiKey]) -> None:
        """End the chosen keys."""
        for key in chosen:
            key_revoke(key=key)
        messages.success(request, gettext("%(count)d revoked.") % {"count": len(chosen)})


@admin.register(UsageDay)
class UsageAdmin(ReadOnly, UsageModelAdmin):
    """Sums of usage, as processes raise them."""

    list_display = ("day", "person", "key", "model", "node_name", "source", *USAGE_SUMS)
    list_filter = ("source", "day")
    search_fields = ("model", "node_name")
    date_hierarchy = "day"
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[UsageDay]:
        """Each with the names of its person and key."""
        person = User.objects.filter(id=OuterRef("user_id")).values("username")[:1]
        key = ApiKey.objects.filter(id=OuterRef("key_id")).values("name")[:1]
        found = super().get_queryset(request)
        return found.annotate(person_name=Subquery(person), key_name=Subquery(key))

    @admin.display(description=_("user"))
    def person(self, row: UsageDay) -> str:
        """Whose it is; by number when he is gone."""
        return getattr(row, "person_name", None) or f"#{row.user_id}"

    @admin.display(description=_("API key"))
    def key(self, row: UsageDay) -> str:
        """By which key, if by any."""
        return getattr(row, "key_name", None) or (f"#{row.key_id}" if row.key_id else "")


admin.site.unregister(Group)
# The throttle keeps these two only when it is told to, which it is not.
for _model in (AccessLog, AccessFailureLog):
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)
