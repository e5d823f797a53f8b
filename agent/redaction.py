"""Which parts of a command line are secrets, and how they are masked before they leave the machine. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

MASK = "********"
MAX_COMMAND = 512
_MAX_ARGUMENT = 4096

_WORDS = {
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "secrets",
    "credential",
    "credentials",
    "apikey",
}
_LAST_WORDS = {"token", "key", "pass", "passcode", "auth", "authorization", "bearer", "pat", "userpwd"}
_PAIRS = {("api", "keys"), ("api", "tokens"), ("auth", "tokens"), ("access", "tokens"), ("api", "key")}

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SPLIT = re.compile(r"[^A-Za-z0-9]+")
_NAME = r"(?P<name>[A-Za-z_][\w.-]{0,127})"
_WHOLE_ASSIGNMENT = re.compile(rf"(?P<head>-{{0,2}}{_NAME}=).+", re.DOTALL)
# A name, then = or :, then a value that is quoted or ends at a space or a separator.
_ASSIGNMENT = re.compile(
    rf"""(?P<head>{_NAME}\\?["']?\s{{0,3}}[:=]\s{{0,3}})"""
    r"""(?P<value>\\["'][^"'\\]*|"[^"]*"?|'[^']*'?|(?:(?:Bearer|Basic|Token)\s+)?[^\s"'&;|}]+)""",
    re.IGNORECASE,
)
_SPACED_FLAG = re.compile(rf"(?P<head>(?<![\w-])--?{_NAME}\s+)(?P<value>[^\s-]\S*)")
_USERINFO = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]{0,30}://)[^\s/]{1,1024}@", re.IGNORECASE)
_SCHEME_WORD = re.compile(r"\b(?P<word>Bearer|Basic)\s+[A-Za-z0-9+/=._~-]{6,}", re.IGNORECASE)
_KNOWN_SHAPES = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}"
    r"|glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,}|dpl_[\w-]{12,}|AKIA[A-Z0-9]{12,}|nvapi-[\w-]{16,}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
)
_FLAG = re.compile(rf"-{{1,2}}{_NAME}$")
_PLAIN_FLAG = re.compile(r"--[a-z][a-z0-9_-]{0,31}$|-[A-Za-z]$")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def redact(argv: Sequence[str]) -> str:
    """A command line as one string of at most MAX_COMMAND characters, with what looks like a secret masked.

    It errs towards masking: a value behind a name such as `token` goes, whatever it is. Names that merely
    contain such a word (`--max-tokens`, `num_memory_tokens`, `--tokenizer`) are left alone.
    """
    shown: list[str] = []
    is_secret_next = False
    for position, argument in enumerate(argv):
        text = _CONTROL.sub(" ", argument[:_MAX_ARGUMENT])
        if is_secret_next and not _PLAIN_FLAG.match(text):
            shown.append(MASK)
            is_secret_next = False
            continue
        flag = _FLAG.match(text)
        is_secret_next = flag is not None and is_secret_name(flag["name"])
        is_script = position > 0 and argv[position - 1] == "-c"
        shown.append(_redact_text(text) if is_script else _redact_argument(text))
    line = " ".join(shown)
    return line if len(line) <= MAX_COMMAND else line[: MAX_COMMAND - 1] + "…"


def is_secret_name(name: str) -> bool:
    """Whether a setting of this name holds a secret: HF_TOKEN, --api-key, dbPassword; not max_tokens."""
    words = [word.lower() for word in _SPLIT.split(_CAMEL.sub("_", name)) if word]
    if not words:
        return False
    if words[-1].endswith(("token", "password", "passwd", "apikey")) or words[-1] in _LAST_WORDS:
        return True
    return bool(_WORDS.intersection(words)) or any(p in _PAIRS for p in pairwise(words))


def _redact_argument(text: str) -> str:
    whole = _WHOLE_ASSIGNMENT.fullmatch(text)
    if whole is not None and is_secret_name(whole["name"]):
        # Here the argument's end is the value's end, so nothing in it can be taken for a separator.
        return whole["head"] + MASK
    return _redact_text(text)


def _redact_text(text: str) -> str:
    text = _USERINFO.sub(rf"\g<scheme>{MASK}@", text)
    text = _mask_after_names(_ASSIGNMENT, text)
    text = _mask_after_names(_SPACED_FLAG, text)
    text = _SCHEME_WORD.sub(rf"\g<word> {MASK}", text)
    return _KNOWN_SHAPES.sub(MASK, text)


def _mask_after_names(pattern: re.Pattern[str], text: str) -> str:
    """Mask the values of secret names. Other values are searched in turn: `PARAMS=token=abc`."""
    parts: list[str] = []
    done = 0
    position = 0
    while (match := pattern.search(text, position)) is not None:
        position = match.start("value")
        if is_secret_name(match["name"]):
            quote = match["value"][:1] if match["value"][:1] in "\"'" else ""
            parts += [text[done:position], quote, MASK, quote]
            done = position = match.end()
    parts.append(text[done:])
    return "".join(parts)
