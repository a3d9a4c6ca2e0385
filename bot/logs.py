"""Log lines: one JSON object each on stderr, with the request's id, in UTC, and with no secret in them.

Two nets: what looks like a secret by its name or place (`access_token=…`, the query of an address), and every
value the settings hold as a secret, wherever it stands.
"""

import json
import logging
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

request_id: ContextVar[str] = ContextVar("request_id", default="")

HIDDEN = "***"
LONGEST = 8000  # characters of a message or traceback; the rest is cut

# Not here: "code" and "openid", which help to find a fault; the code of a login stands in a query.
_NAMES = (
    r"(?:component_|authorizer_|refresh_|js)?(?:access_?)?token|(?:jsapi_?)?ticket|(?:app_?|client_)?secret"
    r"|(?:msg_|pay_?)?sign(?:ature)?|pass(?:word|wd)?|api_?(?:v3_?)?key|(?:encoding_?)?aes_?key|private_?key"
    r"|session_?(?:id|key)|authorization|cookie|set-cookie"
)
_RULES = (
    # A key as text, over as many lines as it has.
    (re.compile(r"-----BEGIN [A-Z ]*-----.*?(?:-----END [A-Z ]*-----|\Z)", re.DOTALL), HIDDEN),
    # user:password@ of an address.
    (re.compile(r"(://)[^\s/@'\"]*@"), rf"\1{HIDDEN}@"),
    # The scheme's name stays, what proves who we are goes.
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]+", re.IGNORECASE), rf"\1 {HIDDEN}"),
    # What PostgreSQL says of a row that it refuses: its values.
    (re.compile(r"(DETAIL: ) .*"), rf"\1 {HIDDEN}"),
    # The query of an address, or of a path in a request line.
    (re.compile(r"\?[^\s'\"<>?=]+=[^\s'\"<>]*"), f"?{HIDDEN}"),
    # name=value, name: value, "name": "value", also with quotes escaped once more.
    (
        re.compile(
            rf"(?<![A-Za-z0-9])({_NAMES})(\\?[\"']?\s*[=:]\s*)"
            r"(?:(b?\\?[\"']).*?(?:(?<!\\)\\?[\"']|\Z)|[^\s,;&\"'<>)}\]]+)",
            re.IGNORECASE,
        ),
        rf"\1\2{HIDDEN}",
    ),
)
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Redactor:
    """Takes secrets out of text: by their looks, and by their value if it is one of `values`."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        known = sorted({value for value in values if len(value) >= 6}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        for pattern, instead in _RULES:
            text = pattern.sub(instead, text)
        return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"


class JsonLines(logging.Formatter):
    """One JSON object a line: at, level, logger, message, request, what was given as `extra`, error."""

    def __init__(self, redact: Redactor) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "at": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._redact(_message(record)),
        }
        if request := request_id.get():
            line["request"] = request
        for name, value in vars(record).items():
            if name not in _USUAL and name not in line:
                line[name] = self._plain(name, value)
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = self._redact(self.formatException(record.exc_info))
        if record.stack_info:
            line["stack"] = self._redact(record.stack_info)
        text = json.dumps(line, ensure_ascii=False)
        # Half a surrogate pair can come in with a message; as \udXXX it is still good JSON.
        return text.encode("utf-8", "backslashreplace").decode()

    def _plain(self, name: str, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return HIDDEN if _named(name) else value
        if isinstance(value, Mapping):
            return {str(key): self._plain(str(key), inner) for key, inner in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._plain(name, inner) for inner in value]
        return HIDDEN if _named(name) else self._redact(str(value))


def _named(name: str) -> bool:
    return re.fullmatch(_NAMES, name, re.IGNORECASE) is not None


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # a wrong % in somebody's call must not stop the work it tells of
        return f"{record.msg!s} {record.args!r}"


def configure(values: Iterable[str] = (), *, level: str = "INFO", stream: TextIO | None = None) -> None:
    """All logging goes to `stream` (stderr) as JSON lines without `values`, which are Settings.secrets()."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(Redactor(values)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    # They say at INFO what we say ourselves, or show whole statements and addresses at DEBUG.
    for name in ("aiosqlite", "apscheduler", "asyncio", "sqlalchemy", "urllib3"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


@contextmanager
def request(name: str = "") -> Iterator[str]:
    """Everything logged inside carries this id (a new random one unless given)."""
    made = name or secrets.token_hex(6)
    token = request_id.set(made)
    try:
        yield made
    finally:
        request_id.reset(token)


class Seldom:
    """Logs at most one line every `every` seconds and says how many it swallowed in between."""

    def __init__(self, log: logging.Logger, every: float = 1.0, tick: Callable[[], float] = time.monotonic) -> None:
        self._log, self._every, self._tick = log, every, tick
        self._next = float("-inf")
        self.swallowed = 0

    def __call__(self, words: str, failed: BaseException | None = None, **extra: object) -> None:
        """Log `words` as a warning, or as an error with `failed`'s traceback, unless one was just logged."""
        now = self._tick()
        if now < self._next:
            self.swallowed += 1
            return
        self._next = now + self._every
        level = logging.WARNING if failed is None else logging.ERROR
        self._log.log(level, words, extra={**extra, "swallowed": self.swallowed}, exc_info=failed)
        self.swallowed = 0
