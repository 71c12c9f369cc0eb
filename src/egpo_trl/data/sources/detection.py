"""Finds the sources in this folder, and recognises the form of a record by its fields."""

import difflib
import pkgutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

from ..records import Record, Unconvertible

_PACKAGE = __name__.rpartition(".")[0]
_MAX_NAMED = 3


class UnknownFormat(ValueError):
    """Records of no known form, of another than that named, or of which none becomes a row."""


def discover(paths: Iterable[str]) -> dict[str, ModuleType]:
    """Sources by name: the modules in folders that have `recognise` and `convert_record`."""
    names = sorted(module.name for module in pkgutil.iter_modules(list(paths)))
    modules = {name: import_module(f"{_PACKAGE}.{name}") for name in names if name != "detection"}
    return {name: module for name, module in modules.items() if hasattr(module, "recognise")}


SOURCES: dict[str, ModuleType] = discover(import_module(_PACKAGE).__path__)
_KNOWN = {name for module in SOURCES.values() for name in (*module.FIELDS, *getattr(module, "TOOL_FIELDS", ()))}
_BY_CASE = {name.lower(): name for name in sorted(_KNOWN)}  # a name in small letters wins


def in_known_case(record: Record) -> Record:
    """A record whose fields are named as the sources name them, where only the case differs."""
    others = {name: _BY_CASE.get(str(name).lower()) for name in record if name not in _KNOWN}
    changed = {name: known for name, known in others.items() if known and known not in record}
    return {changed.get(name, name): value for name, value in record.items()} if changed else record


def recognise(record: Record) -> tuple[str, str]:
    """The source of a record and why; one for a single data set goes before a general one, several are an error."""
    found = {name: why for name, module in SOURCES.items() if (why := module.recognise(record))}
    specific = {name: why for name, why in found.items() if not getattr(SOURCES[name], "IS_GENERAL", False)}
    chosen = specific or found
    if not chosen:
        raise Unconvertible("record", f"is of no known form: it has the fields {_listed(record)}")
    if len(chosen) > 1:
        reasons = "; ".join(f"{name}: {why}" for name, why in chosen.items())
        raise Unconvertible("record", f"is of several forms ({reasons})")
    return next(iter(chosen.items()))


def recognise_path(name_or_path: str) -> dict[str, str]:
    """The source of a folder that is known by its files, with the reason; empty where none is."""
    for name, module in SOURCES.items():
        why = module.recognise_path(name_or_path) if hasattr(module, "recognise_path") else None
        if why:
            return {name: why}
    return {}


def detect(records: Sequence[Record]) -> dict[str, str]:
    """Sources of records with the reasons, the most frequent first; raises [`UnknownFormat`] where none is recognised."""
    counts: Counter[str] = Counter()
    reasons: dict[str, str] = {}
    problem = ""
    for record in records:
        try:
            name, why = recognise(record)
        except Unconvertible as error:
            problem = problem or error.reason
            continue
        counts[name] += 1
        reasons.setdefault(name, why)
    if not counts:
        raise UnknownFormat(f"the first record {problem}. {_advice(records[0])}")
    return {name: reasons[name] for name, _ in counts.most_common()}


def check_source(source: str, records: Sequence[Record]) -> dict[str, str]:
    """The named source, unless all records are recognised as of others: then raises [`UnknownFormat`]."""
    named = {source: "it was named"}
    if not records or any(SOURCES[source].recognise(record) for record in records):
        return named
    try:
        found = detect(records)
    except UnknownFormat:
        return named
    name, why = next(iter(found.items()))
    raise UnknownFormat(
        f"the records are not of the source {source!r}, which reads {_quoted(SOURCES[source].FIELDS)}. They look like "
        f"{name!r}: {why}. Name that source, or none."
    )


def _advice(record: Record) -> str:
    likely = sorted(((_likeness(record, module.FIELDS), name) for name, module in SOURCES.items()), reverse=True)
    named = [f"{name} (reads {_quoted(SOURCES[name].FIELDS)})" for score, name in likely[:_MAX_NAMED] if score > 0]
    nearest = f"The most likely sources are {', '.join(named)}. " if named else f"Sources: {', '.join(SOURCES)}. "
    return (
        f"{nearest}Name one as the source, or name the fields that hold the messages (or the query), the tools and the "
        "answers (messages_field, tools_field, answers_field)."
    )


def _likeness(record: Mapping[str, Any], fields: Sequence[str]) -> float:
    """Share of a source's fields that a record has, nearly or by name."""
    names = [str(name).lower() for name in record]
    scores = [
        max((difflib.SequenceMatcher(None, field.lower(), name).ratio() for name in names), default=0.0)
        for field in fields
    ]
    return sum(score for score in scores if score > 0.75) / len(fields)


def _listed(record: Record) -> str:
    return _quoted([str(name)[:40] for name in list(record)[:20]])


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
