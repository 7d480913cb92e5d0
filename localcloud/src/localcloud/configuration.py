"""The application as its YAML files describe it: app.yaml and the others, read by Google's own parsers.

What Google's parsers accept is accepted; what they refuse becomes one line that names file, line and key.
queue.yaml, cron.yaml and index.yaml are only recognised here: the processes that use them read them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.appengine.api import appinfo, dispatchinfo, validation, yaml_errors

from localcloud import routing
from localcloud.application_files import OTHER_FILES, NoApplicationError, application_files
from localcloud.includes import IncludeError, merge_includes
from localcloud.parser_warnings import no_parser_warnings

_KEY = re.compile(r"^\s*(?:-\s+)*[\"']?([A-Za-z_][\w.-]*)[\"']?\s*:")
_UNKNOWN_KEY = re.compile(r"Unexpected attribute '([^']*)'")
_KEY_IN_MESSAGE = re.compile(r"to attribute '([^']+)'")
_ASSIGNMENT = re.compile(r"Unable to assign value .*? to attribute '[^']+':\s*", re.DOTALL)
_MARK = re.compile(r"\n  in \"<.*", re.DOTALL)
_DEFAULT_EXPIRATION_SECONDS = 600

# Real service: what gunicorn gets when a file names no entrypoint (Python 3 runtime: main.py with an `app`).
_DEFAULT_ENTRYPOINT = "exec gunicorn --bind :$PORT --threads 8 --timeout 0 main:app"


class ConfigurationError(Exception):
    """A file or an option is wrong. The text is one line: where, what was found, what was expected."""


@dataclass(frozen=True, slots=True)
class Service:
    """One service, as one YAML file describes it."""

    name: str
    file: Path
    routes: routing.ServiceRoutes
    # Empty: none is given, and the runtime's own is not known here.
    # We differ: on App Engine other languages than Python start something by themselves, too.
    entrypoint: str
    runtime: str = "python313"
    version: str | None = None
    instance_class: str = "F1"
    env_variables: Mapping[str, str] = field(default_factory=dict)
    # Real service: automatic scaling with `inbound_services: [warmup]` gets GET /_ah/warmup, basic and manual
    # scaling GET /_ah/start.
    # We differ: nothing scales. Each service has one instance (or what --instances says) from start to end,
    # whatever app.yaml says about scaling; memory, and the length of a visitor's request, are not limited.
    first_request: str | None = None
    # `env: flex`.
    # We differ: the flexible environment is not provided; such a service is run as in the standard one.
    is_flexible: bool = False
    # `app_engine_apis: true`.
    wants_bundled_services: bool = False
    # The files that `includes:` names, and theirs.
    included: tuple[Path, ...] = ()

    @property
    def folder(self) -> Path:
        """Where the program runs, and what its static files are relative to."""
        return self.file.parent


@dataclass(frozen=True, slots=True)
class Application:
    """All that was named on the command line."""

    services: Mapping[str, Service]
    routes: routing.Routes
    queue_file: Path | None = None
    index_file: Path | None = None
    dispatch_file: Path | None = None
    cron_file: Path | None = None


def load_application(files: Iterable[Path]) -> Application:
    """Read and check the files, whatever their order, and those in folders among them. index.yaml beside the
    first service is taken by itself.

    Raises ConfigurationError.
    """
    services: list[Service] = []
    others: dict[str, Path] = {}
    try:
        named = application_files(files)
    except (NoApplicationError, OSError) as error:
        raise ConfigurationError(str(error)) from error
    for file in named:
        what = _kind_of(file)
        if what == "service":
            services.append(load_service(file))
        elif what in others:
            raise ConfigurationError(f"{file}: {others[what]} is a {what} file already; name only one")
        else:
            others[what] = file
    if not services:
        raise ConfigurationError("no file describes a service: name app.yaml")
    _refuse_twins(services)
    dispatch_file = others.get("dispatch")
    rules = load_dispatch(dispatch_file) if dispatch_file else []
    try:
        routes = routing.routes((service.routes for service in services), rules)
    except ValueError as error:
        raise ConfigurationError(f"{dispatch_file}: {error}") from error
    beside = services[0].folder / "index.yaml"
    return Application(
        services={service.name: service for service in services},
        routes=routes,
        queue_file=others.get("queue"),
        index_file=others.get("index") or (beside if beside.is_file() else None),
        dispatch_file=dispatch_file,
        cron_file=others.get("cron"),
    )


def load_service(file: Path) -> Service:
    """Read one service's file. Raises ConfigurationError."""
    texts = {file: _read(file)}
    info = _parse(file, texts[file], appinfo.LoadSingleAppInfo)
    if not info.runtime:
        raise ConfigurationError(
            f"{file}: the key 'runtime' is missing; expected for example runtime: python313"
        )
    included = _include(info, file, texts)
    runtime: str = info.GetEffectiveRuntime()  # of the flexible environment, where `runtime` became vm
    variables = dict(info.env_variables or {})
    name = info.service or info.module or routing.DEFAULT_SERVICE
    expiration = _seconds(info.default_expiration, _DEFAULT_EXPIRATION_SECONDS)
    scales_by_hand = bool(info.manual_scaling or info.basic_scaling)
    warms_up = "warmup" in (info.inbound_services or ())
    return Service(
        name=name,
        file=file.absolute(),
        routes=routing.ServiceRoutes(
            name, tuple(_handler(texts, entry, expiration) for entry in info.handlers or ())
        ),
        entrypoint=info.entrypoint or (_DEFAULT_ENTRYPOINT if runtime.startswith("python") else ""),
        runtime=runtime,
        version=info.version,
        instance_class=info.instance_class or ("B2" if scales_by_hand else "F1"),
        env_variables={str(variable): str(value) for variable, value in variables.items()},
        first_request="/_ah/start" if scales_by_hand else "/_ah/warmup" if warms_up else None,
        is_flexible=bool(info.vm) or info.env in ("2", "flex", "flexible"),
        wants_bundled_services=bool(info.app_engine_apis),
        included=tuple(included),
    )


def _include(info: Any, file: Path, texts: dict[Path, str]) -> list[Path]:
    """Merge what `info` includes into it; the files, whose texts are added to `texts`."""

    def load(included: Path) -> Any:
        text = texts[included] = _read(included)
        try:
            return _parse(included, text, appinfo.LoadAppInclude)
        except ConfigurationError as error:
            if isinstance(error.__cause__, appinfo.appinfo_errors.EmptyConfigurationFile):
                return None
            raise

    try:
        return merge_includes(info, file, load)
    except IncludeError as error:
        raise ConfigurationError(f"{error.included_from}, key 'includes': {error}") from error


def load_dispatch(file: Path) -> list[routing.DispatchRule]:
    """Read dispatch.yaml. Raises ConfigurationError."""
    info = _parse(file, _read(file), dispatchinfo.LoadSingleDispatch)
    return [routing.dispatch_rule(entry.url, entry.service or entry.module) for entry in info.dispatch or ()]


def _kind_of(file: Path) -> str:
    """By its name if that is one of App Engine's, else by the first key that gives it away."""
    if file.suffix in (".yaml", ".yml") and file.stem in OTHER_FILES:
        _read(file)
        return file.stem
    for line in _read(file).splitlines():
        key = re.match(r"(queue|dispatch|indexes|cron)\s*:", line)
        if key:
            return {"indexes": "index"}.get(key.group(1), key.group(1))
    return "service"


def _refuse_twins(services: list[Service]) -> None:
    by_name: dict[str, Service] = {}
    for service in services:
        twin = by_name.setdefault(service.name, service)
        if twin is not service:
            raise ConfigurationError(
                f"{service.file}: the service {service.name!r} is described by {twin.file} already; "
                "give one of them another name under `service:`"
            )


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigurationError(f"{file}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file}: can't be read: {error}") from error


def _parse(file: Path, text: str, load: Callable[[str], Any]) -> Any:
    """`load(text)`; every way in which Google's parsers refuse becomes one ConfigurationError."""
    try:
        with no_parser_warnings():
            return load(text)
    except yaml_errors.EventError as error:
        raise ConfigurationError(_place(file, text, error.event.start_mark.line, str(error.cause))) from error
    except yaml_errors.EventListenerYAMLError as error:
        mark = getattr(error.cause, "problem_mark", None) or getattr(error.cause, "context_mark", None)
        problem = getattr(error.cause, "problem", None) or str(error.cause)
        raise ConfigurationError(
            _place(file, text, mark.line if mark else 0, f"not YAML: {problem}")
        ) from error
    except (appinfo.appinfo_errors.Error, validation.ValidationError, yaml_errors.Error, ValueError) as error:
        if not text.strip():
            raise ConfigurationError(f"{file}: the file is empty") from error
        raise ConfigurationError(f"{file}: {_one_line(str(error) or type(error).__name__)}") from error
    except dispatchinfo.Error as error:
        raise ConfigurationError(f"{file}: {_one_line(str(error))}") from error


def _place(file: Path, text: str, line: int, problem: str) -> str:
    """`app.yaml, line 7, key 'login': ...`; `line` counts from 0."""
    lines = text.splitlines()
    unknown = _UNKNOWN_KEY.search(problem)
    if unknown:
        problem = f"unknown key {unknown.group(1)!r}{_suggestion(unknown.group(1))}"
    named = unknown or _KEY_IN_MESSAGE.search(problem)
    # Google's parsers point at the event after the key; a block's end lies below the line that it is about.
    line = min(line, max(len(lines) - 1, 0))
    while line > 0 and not lines[line].strip():
        line -= 1
    key = named.group(1) if named else _key_at(lines, line)
    where = f"{file}, line {line + 1}" + (f", key {key!r}" if key else "")
    return f"{where}: {_one_line(problem)}"


def _key_at(lines: list[str], line: int) -> str | None:
    for text in reversed(lines[: line + 1]):
        found = _KEY.match(text)
        if found:
            return found.group(1)
    return None


def _suggestion(key: str) -> str:
    import difflib  # only on the way out

    known = [*appinfo.AppInfoExternal.ATTRIBUTES, *appinfo.URLMap.ATTRIBUTES, "dispatch", "url"]
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _one_line(problem: str, limit: int = 300) -> str:
    if problem.startswith("Unknown url handler type"):
        return "a handler needs one of script, static_dir and static_files"
    line = " ".join(_ASSIGNMENT.sub("", _MARK.sub("", problem)).split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def _seconds(expiration: str | None, default: int) -> int:
    return int(appinfo.ParseExpiration(expiration)) if expiration else default


def _handler(texts: Mapping[Path, str], entry: Any, default_expiration: int) -> routing.Handler:
    """`texts`: the files that the entry may stand in."""
    what = entry.GetHandlerType()
    kind = {"static_dir": routing.Kind.STATIC_DIR, "static_files": routing.Kind.STATIC_FILES}.get(what)
    key = "url"
    try:
        pattern = routing.compile_url(entry.url, static_dir=kind is routing.Kind.STATIC_DIR)
        key = "upload"
        upload = routing.compile_upload(entry.upload) if entry.upload else None
    except ValueError as error:
        wrong = getattr(entry, key)
        places = (
            f"{file}, line {line}"
            for file, text in texts.items()
            for line, content in enumerate(text.splitlines(), 1)
            if wrong in content
        )
        raise ConfigurationError(f"{next(places, next(iter(texts)))}, key {key!r}: {error}") from error
    return routing.Handler(
        url=entry.url,
        pattern=pattern,
        kind=kind or routing.Kind.SCRIPT,
        login=routing.Login(entry.login or "optional"),
        redirects_to_login=entry.auth_fail_action != "unauthorized",
        secure=entry.secure if entry.secure in ("always", "never") else "optional",
        path=getattr(entry, what) if kind else "",
        upload=upload,
        mime_type=entry.mime_type,
        expiration_seconds=_seconds(entry.expiration, default_expiration),
        http_headers={str(name): str(value) for name, value in (entry.http_headers or {}).items()},
    )
