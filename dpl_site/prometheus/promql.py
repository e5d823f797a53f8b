"""Reads the part of PromQL that our own history can answer: one metric, perhaps aggregated. Pure.

NAME{label="value", …}
avg|max|min|sum|count [by (label, …)] (NAME{…})          `by` may stand behind, too
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from dpl_site.prometheus.errors import QueryError
from dpl_site.prometheus.patterns import matcher
from nodes.exposition import BY_NAME, SUBJECT_LABEL
from nodes.measures import METRICS

AGGREGATES = ("avg", "max", "min", "sum", "count")
LABELS = ("node", *SUBJECT_LABEL.values())
ALIASES = {"instance": "node"}
"""Other names of labels, as dashboards for other exporters have them."""
SUPPORTED = (
    'From its own history DPL answers NAME{label="value"} and '
    f"{'|'.join(AGGREGATES)} [by (label)] (NAME{{…}}), with =, !=, =~, !~ on {', '.join(LABELS)}, "
    "for the metrics of nodes, GPUs and filesystems; set PROMETHEUS_URL for the rest."
)
MOST_MATCHERS = 20
_TOKEN = re.compile(
    r"\s*(?:(?P<word>[A-Za-z_:][A-Za-z0-9_:]*)|(?P<string>\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)"
    r"|(?P<sign>=~|!~|!=|[={}(),]))",
    re.ASCII,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'"}


@dataclass(frozen=True, slots=True)
class Selection:
    """What is asked for: a metric of the vocabulary, its factor, which labels fit, how series are put together.

    `name` is the metric's name as it was asked for; `aggregate` is empty for the series themselves.
    """

    name: str
    metric: str
    factor: float
    fits: tuple[tuple[str, Callable[[str], bool]], ...] = field(default=(), compare=False)
    aggregate: str = ""
    by: tuple[str, ...] = ()

    def takes(self, labels: dict[str, str]) -> bool:
        """Whether a series with these labels is among them; a label that it lacks is empty."""
        return all(fits(labels.get(label, "")) for label, fits in self.fits)

    def takes_node(self, name: str) -> bool:
        """Whether a node may have such series, by its name alone."""
        return all(fits(name) for label, fits in self.fits if label == "node")


def read_query(text: str) -> Selection:
    """A query. Raises QueryError that says what is supported."""
    return _Reader(text).read()


class _Reader:
    """Goes through the tokens of one query."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0

    def read(self) -> Selection:
        aggregate, by = "", None
        if self._peek() in AGGREGATES and self._peek(1) in ("by", "("):
            aggregate = self._next()
            by = self._by()
            self._expect("(")
            found = self._selector()
            self._expect(")")
            by = self._by() if by is None else by
        else:
            found = self._selector()
        if self._peek():
            raise _unsupported(self._peek())
        name, factor = _known(found[0])
        return Selection(found[0], name, factor, tuple(found[1]), aggregate, by or ())

    def _by(self) -> tuple[str, ...] | None:
        if self._peek() != "by":
            return None
        self._next()
        self._expect("(")
        labels: list[str] = []
        while self._peek() != ")":
            labels.append(_label(self._next()))
            if self._peek() != ")":
                self._expect(",")
        self._next()
        return tuple(dict.fromkeys(labels))

    def _selector(self) -> tuple[str, list[tuple[str, Callable[[str], bool]]]]:
        name = self._next()
        fits: list[tuple[str, Callable[[str], bool]]] = []
        if self._peek() == "{":
            self._next()
            while self._peek() != "}":
                fits.append(self._matcher())
                if self._peek() != "}":
                    self._expect(",")
            self._next()
        if len(fits) > MOST_MATCHERS:
            raise QueryError(f"more than {MOST_MATCHERS} matchers")
        return name, fits

    def _matcher(self) -> tuple[str, Callable[[str], bool]]:
        label, sign, written = _label(self._next()), self._next(), self._next()
        if sign not in _TESTS or written[:1] not in "\"'`":
            raise _unsupported(f"{label}{sign}{written}")
        return label, _TESTS[sign](_unquoted(written))

    def _peek(self, ahead: int = 0) -> str:
        position = self._at + ahead
        return self._tokens[position] if position < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        if not token:
            raise QueryError(f"the query ends too early. {SUPPORTED}")
        self._at += 1
        return token

    def _expect(self, sign: str) -> None:
        token = self._next()
        if token != sign:
            raise _unsupported(token)


def _tokens(text: str) -> Iterator[str]:
    position, end = 0, len(text.rstrip())
    while position < end:
        found = _TOKEN.match(text, position)
        if found is None:
            raise _unsupported(text[position:].strip()[:20])
        yield found.group().strip()
        position = found.end()


def _known(name: str) -> tuple[str, float]:
    """The metric of the vocabulary, and its factor: by Prometheus' name or by our own."""
    if name in BY_NAME:
        return BY_NAME[name].metric.name, BY_NAME[name].factor
    if name in METRICS:
        return name, 1.0
    if not re.fullmatch(r"[A-Za-z_:][A-Za-z0-9_:]*", name):
        raise _unsupported(name)
    names = ", ".join(sorted(BY_NAME))
    raise QueryError(f"there is no history of {name[:100]}. {SUPPORTED} Metrics: {names}")


def _label(name: str) -> str:
    known = ALIASES.get(name, name)
    if known not in LABELS:
        raise QueryError(f"{name[:60]!r} is no label here; there are {', '.join(LABELS)}. {SUPPORTED}")
    return known


def _unquoted(written: str) -> str:
    if written[0] == "`":
        return written[1:-1]
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[0]), written[1:-1])


def _unsupported(what: str) -> QueryError:
    return QueryError(f"{what!r} cannot be answered. {SUPPORTED}")


def _not(fits: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda text: not fits(text)


_TESTS: dict[str, Callable[[str], Callable[[str], bool]]] = {
    "=": lambda wanted: lambda text: text == wanted,
    "!=": lambda wanted: lambda text: text != wanted,
    "=~": matcher,
    "!~": lambda wanted: _not(matcher(wanted)),
}
