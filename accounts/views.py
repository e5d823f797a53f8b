"""The pages of logging in and out, changing the password, and being locked out."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView, PasswordChangeView
from django.core.exceptions import ValidationError
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.authentication import role_of_user
from accounts.http import NO_ROLE
from accounts.models import User
from dpl_site.lib.clock import utc_now
from dpl_site.lib.refusals import CODES, error_for, is_machine_path


class LoginForm(AuthenticationForm):
    """Lets in who has a role; tells the others why not."""

    def confirm_login_allowed(self, user: User) -> None:
        """Raises ValidationError for people who may do nothing yet."""
        super().confirm_login_allowed(user)
        if not role_of_user(user):
            raise ValidationError(_(NO_ROLE), code="no_role")


login = LoginView.as_view(
    template_name="registration/login.html", authentication_form=LoginForm, redirect_authenticated_user=True
)
logout = LogoutView.as_view()
password = PasswordChangeView.as_view(template_name="registration/password.html", success_url="/")


def locked_out(request: HttpRequest, *_args: Any) -> HttpResponse:
    """The answer to a login after too many wrong passwords: 429, and when to come back.

    The throttle calls it with different arguments under WSGI and ASGI, so it reads the form itself.
    """
    seconds = _seconds_left(request)
    minutes = math.ceil(seconds / 60)
    if is_machine_path(request.path) or "text/html" not in request.headers.get("Accept", "text/html"):
        message = f"Too many wrong passwords. Try again in {seconds} s."
        response: HttpResponse = error_for(request.path, message, CODES[429], 429)
    else:
        when = ngettext("Try again in %(minutes)d minute.", "Try again in %(minutes)d minutes.", minutes)
        context = {"when": when % {"minutes": minutes}}
        response = render(request, "registration/locked_out.html", context, status=429)
    response["Retry-After"] = str(seconds)
    return response


def _seconds_left(request: HttpRequest) -> int:
    """Until when the throttle keeps this name and address out, in seconds from now, at least 1."""
    attempts = AccessAttempt.objects.filter(
        username=request.POST.get("username"), ip_address=request.META.get("REMOTE_ADDR")
    )
    last = attempts.aggregate(last=Max("attempt_time"))["last"] or utc_now()
    end = last + timedelta(seconds=settings.DPL_LOGIN_COOLDOWN_S)
    return max(1, math.ceil((end - utc_now()).total_seconds()))
