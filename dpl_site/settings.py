"""All configuration of the site, read from the environment or `.env` here and nowhere else.

A bad value stops the start with the setting's name. Secrets may come from a file: `NAME_FILE` is read when
`NAME` is not set.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import environ

from dpl_site import api_docs, config

BASE_DIR = Path(__file__).resolve().parent.parent
environ.Env.read_env(os.environ.get("DPL_ENV_FILE", BASE_DIR / ".env"))
env = config.Reader(os.environ)

# --- The installation -------------------------------------------------------------------------------------
DPL_PROCESS = env.text("DPL_PROCESS", "")
DPL_DATA_DIR = env.folder("DPL_DATA_DIR", BASE_DIR / "var")
DPL_PORT = env.integer("DPL_PORT", 8000, low=1, high=65535)
DPL_POLL_INTERVAL_S = env.number("DPL_POLL_INTERVAL_S", 2.0, low=0.2, high=3600)
DPL_WATCHED_INTERVAL_S = env.number("DPL_WATCHED_INTERVAL_S", 1.0, low=0, high=3600)
DPL_LOG_FORMAT = env.choice("DPL_LOG_FORMAT", "text", ["text", "json"])
DPL_LOG_LEVEL = env.choice("DPL_LOG_LEVEL", "INFO", ["DEBUG", "INFO", "WARNING", "ERROR"])
DPL_LOG_REQUESTS = env.boolean("DPL_LOG_REQUESTS", True)
REDIS_URL = env.redis("REDIS_URL")
PROMETHEUS_URL = env.web_address("PROMETHEUS_URL")
DEBUG = env.boolean("DPL_DEBUG", False)

# --- Secrets ----------------------------------------------------------------------------------------------
SECRET_KEY = env.secret("DPL_SECRET_KEY", "") or config.made_secret(DPL_DATA_DIR / "secret_key")
DPL_CREDENTIALS_KEY_FILE = config.key_file(
    env.path("DPL_CREDENTIALS_KEY_FILE", DPL_DATA_DIR / "credentials.key")
)

# --- Who may come in --------------------------------------------------------------------------------------
ALLOWED_HOSTS = env.hosts("DPL_ALLOWED_HOSTS", ["*"])
DPL_CORS_ORIGINS = env.origins("DPL_CORS_ORIGINS", star=True)
CSRF_TRUSTED_ORIGINS = env.origins("DPL_CSRF_TRUSTED_ORIGINS")
DPL_TRUSTED_PROXIES = env.addresses("DPL_TRUSTED_PROXIES")
DPL_CIDR_KEYS = env.keyed_networks("DPL_CIDR_KEYS")
DPL_ALLOWED_NETWORKS = env.networks("DPL_ALLOWED_NETWORKS", [])
DPL_JOIN_TOKEN_TTL_S = env.integer("DPL_JOIN_TOKEN_TTL_S", 1800, low=60, high=30 * 86400)
DPL_JOIN_TOKEN_MOST_USES = env.integer("DPL_JOIN_TOKEN_MOST_USES", 100, low=1, high=100_000)
DPL_PUBLIC_URL = env.origin("DPL_PUBLIC_URL")
DPL_LOGIN_FAILURES = env.integer("DPL_LOGIN_FAILURES", 10, low=1, high=1000)
DPL_LOGIN_COOLDOWN_S = env.integer("DPL_LOGIN_COOLDOWN_S", 300, low=1, high=86400)
DPL_PUBLIC_METRICS = env.boolean("DPL_PUBLIC_METRICS", False)
DPL_PUBLIC_FLOWLINE = env.boolean("DPL_PUBLIC_FLOWLINE", False)
DPL_HTTPS = env.boolean("DPL_HTTPS", False)

# --- Limits -----------------------------------------------------------------------------------------------
DPL_MAX_UPLOAD_MB = env.integer("DPL_MAX_UPLOAD_MB", 512, low=1, high=1_000_000)
DPL_MAX_ROW_KB = env.integer("DPL_MAX_ROW_KB", 1024, low=1, high=1_000_000)
DPL_MAX_ITEMS = env.integer("DPL_MAX_ITEMS", 5_000_000, low=1, high=100_000_000)
DPL_MAX_REPLY_MB = env.integer("DPL_MAX_REPLY_MB", 16, low=1, high=10_000)
DPL_MAX_PUSH_KB = env.integer("DPL_MAX_PUSH_KB", 4096, low=64, high=65_536)
DPL_PUSHED_MOST = env.integer("DPL_PUSHED_MOST", 120, low=60, high=10_000)
DPL_JOINS_PER_MINUTE = env.integer("DPL_JOINS_PER_MINUTE", 60, low=1, high=100_000)
DPL_MIN_FREE_DISK_MB = env.integer("DPL_MIN_FREE_DISK_MB", 256, low=0, high=10_000_000)

# --- Work -------------------------------------------------------------------------------------------------
DPL_DRAINS = env.integer("DPL_DRAINS", 2, low=1, high=64)
DPL_SHARD_ITEMS = env.integer("DPL_SHARD_ITEMS", 256, low=1, high=10_000)
DPL_ITEM_TIMEOUT_S = env.number("DPL_ITEM_TIMEOUT_S", 600.0, low=1, high=86400)
DPL_ITEM_ATTEMPTS = env.integer("DPL_ITEM_ATTEMPTS", 3, low=1, high=100)
DPL_MAX_REQUESTS_MB = env.integer("DPL_MAX_REQUESTS_MB", 1024, low=1, high=1_000_000)
DPL_MAX_REQUEST_MB = env.integer("DPL_MAX_REQUEST_MB", 64, low=1, high=10_000)
DPL_QUEUE_MOST = env.integer("DPL_QUEUE_MOST", 256, low=0, high=100_000)
DPL_QUEUE_WAIT_S = env.number("DPL_QUEUE_WAIT_S", 120.0, low=0.1, high=3600)
DPL_SILENCE_TIMEOUT_S = env.number("DPL_SILENCE_TIMEOUT_S", 300.0, low=1, high=86400)
DPL_CONNECT_TIMEOUT_S = env.number("DPL_CONNECT_TIMEOUT_S", 3.0, low=0.1, high=60)
DPL_SCHEDULING = env.choice(
    "DPL_SCHEDULING", "expected_finish", ["expected_finish", "least_load", "round_robin"]
)

# --- Alerts ---------------------------------------------------------------------------------------------
DPL_NOTICE_LANGUAGE = env.choice("DPL_NOTICE_LANGUAGE", "en", ["en", "zh-hans"])
DPL_NOTICE_SCHEMES = env.listing(
    "DPL_NOTICE_SCHEMES",
    ["mailto", "mailtos", "json", "jsons", "slack", "dingtalk", "feishu", "wecombot", "tgram"],
)
DPL_NOTICE_NETWORKS = env.networks("DPL_NOTICE_NETWORKS", ["0.0.0.0/0", "::/0"])
DPL_NOTICE_WAIT_S = env.number("DPL_NOTICE_WAIT_S", 30.0, low=0, high=3600)
DPL_NOTICES_PER_HOUR = env.integer("DPL_NOTICES_PER_HOUR", 60, low=1, high=10_000)
DPL_NOTICE_EXPIRE_HOURS = env.integer("DPL_NOTICE_EXPIRE_HOURS", 24, low=1, high=720)
DPL_HEARTBEAT_URL = env.secret("DPL_HEARTBEAT_URL", "")
DPL_ALERTS_MOST = env.integer("DPL_ALERTS_MOST", 5000, low=1, high=1_000_000)

# --- Kept for how long ------------------------------------------------------------------------------------
DPL_KEEP_EVENTS_MINUTES = env.integer("DPL_KEEP_EVENTS_MINUTES", 60, low=1, high=100_000)
DPL_KEEP_DRY_RUNS_HOURS = env.integer("DPL_KEEP_DRY_RUNS_HOURS", 24, low=1, high=100_000)
DPL_KEEP_REQUESTS_DAYS = env.integer("DPL_KEEP_REQUESTS_DAYS", 30, low=1, high=36_500)
DPL_KEEP_REQUESTS_PER_S = env.integer("DPL_KEEP_REQUESTS_PER_S", 200, low=0, high=1_000_000)
DPL_KEEP_REQUESTS_MOST = env.integer("DPL_KEEP_REQUESTS_MOST", 1_000_000, low=0, high=1_000_000_000)
DPL_KEEP_USAGE_DAYS = env.integer("DPL_KEEP_USAGE_DAYS", 1100, low=1, high=36_500)
DPL_KEEP_ALERTS_DAYS = env.integer("DPL_KEEP_ALERTS_DAYS", 90, low=1, high=36_500)
DPL_KEEP_ALERT_EVENTS_MOST = env.integer("DPL_KEEP_ALERT_EVENTS_MOST", 500_000, low=1, high=1_000_000_000)
DPL_KEEP_HISTORY_DAYS = env.integer("DPL_KEEP_HISTORY_DAYS", 30, low=1, high=3660)
DPL_KEEP_AUDIT_DAYS = env.integer("DPL_KEEP_AUDIT_DAYS", 365, low=1, high=36_500)

# --- Django -----------------------------------------------------------------------------------------------
ROOT_URLCONF = "dpl_site.urls"
ASGI_APPLICATION = "dpl_site.asgi.application"
AUTH_USER_MODEL = "accounts.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# The controller and the workers serve nobody: without the apps of pages and APIs each stays a third smaller.
_SERVES = DPL_PROCESS not in ("controller", "worker")
_SERVING_APPS = [
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "corsheaders",
    "csp",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "channels",
]
INSTALLED_APPS = [
    *(["daphne"] if DPL_PROCESS == "runserver" else []),
    "django.contrib.admin" if _SERVES else "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    *(_SERVING_APPS if _SERVES else []),
    "axes",
    "django_q",
    "dpl_site",
    "accounts",
    "nodes",
    "inference",
    "datasets",
    "alerts",
]
MIDDLEWARE = [
    "dpl_site.middleware.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "dpl_site.packed_files.PackedFiles",
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "django.template.context_processors.i18n",
            ]
        },
    }
]
DATABASES: dict[str, dict[str, Any]] = {
    "default": config.database(
        env.secret("DATABASE_URL", f"sqlite:///{DPL_DATA_DIR / 'dpl.sqlite3'}"), pooled=DPL_PROCESS == "web"
    )
}
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
    if REDIS_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login/"
APPEND_SLASH = False

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = DPL_DATA_DIR / "staticfiles"
STATIC_ROOT.mkdir(exist_ok=True)
PAGES_PACKAGES = Path(sys.prefix) / "pages" / "static"
"""Made at set-up from npm's packages, beside the interpreter that runs the site."""
STATICFILES_DIRS = [BASE_DIR / "static", *([PAGES_PACKAGES] if PAGES_PACKAGES.exists() else [])]
WHITENOISE_USE_FINDERS = True

# --- Security ---------------------------------------------------------------------------------------------
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = DPL_HTTPS
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if DPL_HTTPS and DPL_TRUSTED_PROXIES else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
        "form-action": ["'self'"],
    }
}
CSRF_FAILURE_VIEW = "dpl_site.views.csrf_failure"
CORS_ALLOW_ALL_ORIGINS = "*" in DPL_CORS_ORIGINS
CORS_EXPOSE_HEADERS = ["Retry-After", "X-Request-ID", "X-DPL-Node", "X-DPL-Node-Name"]
CORS_ALLOWED_ORIGINS = [] if CORS_ALLOW_ALL_ORIGINS else DPL_CORS_ORIGINS
AXES_FAILURE_LIMIT = DPL_LOGIN_FAILURES
AXES_COOLOFF_TIME = DPL_LOGIN_COOLDOWN_S / 3600
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_LOCKOUT_CALLABLE = "accounts.views.locked_out"
AXES_RESET_ON_SUCCESS = True
AXES_VERBOSE = False
# Knocking on while locked out prolongs nothing, so the page can say when to come back; and no log without end.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_DISABLE_ACCESS_LOG = True

# --- Uploads ----------------------------------------------------------------------------------------------
DATA_UPLOAD_MAX_MEMORY_SIZE = 32 * 1024 * 1024
FILE_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

# --- The REST surface -------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.rest.KeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.rest.ScopePermission"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["dpl_site.lib.bodies.JsonParser"],
    "DEFAULT_PAGINATION_CLASS": "dpl_site.lib.rest.Pages",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "dpl_site.lib.rest.error_response",
    "PAGE_SIZE": 50,
}
SPECTACULAR_SETTINGS = api_docs.SETTINGS

# --- django-q2: a task is a disposable wake-up (docs/why/wake-ups.md) -------------------------------------
# One process more than there are drains, so that an import never waits for a drain to end.
Q_CLUSTER = {
    "name": "dpl",
    "orm": "default",
    "workers": DPL_DRAINS + 1,
    "queue_limit": DPL_DRAINS + 1,
    "bulk": 1,
    "poll": 0.4,
    "timeout": 86_400,
    "retry": 300_000,
    "max_attempts": 1,
    "ack_failures": True,
    "save_limit": -1,
    "scheduler": False,
    "recycle": 1_000_000_000,
    "catch_up": False,
    "label": "Wake-ups",
    "log_level": "WARNING",
}

LOGGING = config.logging_setup(DPL_LOG_FORMAT, DPL_LOG_LEVEL)
