"""Records as JSON, the one format in which they are stored.

Owns the schema number, and how what an earlier schema stored is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, TypeVar

import msgspec

from pytest_lance_autoresearch.records import Cause, Digest, RegressionRules, Rules, TrialRecord

T = TypeVar("T")
SCHEMA = 4
"""Of a trial's record. 1 had no number, one figure of the runner's cost for all pairs, and no seconds. 3 knew of
one host only, and had no calls that were started one by one."""
_LEAST_JUDGED = 3
"""What was recorded under an earlier one was judged by other rules."""
_ADDED_TO_RULES = frozenset({"recall"})
"""What rules have from a later version on; those without it asked for nothing of the kind."""
DIGEST_SCHEMA = 3
"""Of what a record comes to. Another one is made again."""


def to_json(record: Any, *, indent: int = 1) -> bytes:
    """A dataclass of plain values and dataclasses, as JSON; `indent` -1 puts it on one line."""
    return msgspec.json.format(msgspec.json.encode(record), indent=indent)


def from_json(text: bytes, kind: type[T]) -> T:
    """The record of that type; ValueError where the text does not hold one."""
    with _as_value_errors():
        return msgspec.json.decode(text, type=kind)


@contextmanager
def _as_value_errors() -> Iterator[None]:
    """What the library raises is a ValueError only from msgspec 0.19 on."""
    try:
        yield
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def trial_to_json(record: TrialRecord) -> bytes:
    """A trial's record, with the schema's number."""
    return to_json({"schema": SCHEMA, **msgspec.to_builtins(record)})


def trial_from_json(text: bytes) -> TrialRecord:
    """A trial's record of this schema or an earlier one; ValueError, with a sentence, for anything else."""
    found = from_json(text, dict[str, Any])
    schema = found.pop("schema", 1)
    if schema not in range(1, SCHEMA + 1):
        raise ValueError(f"schema {schema}, this version reads schemas 1 to {SCHEMA}")
    if schema == 1:
        found = _from_schema_1(found)
    rules = _rules_from(found.get("rules")) if schema >= _LEAST_JUDGED else None
    with _as_value_errors():
        return replace(msgspec.convert({**found, "rules": None}, TrialRecord), rules=rules)


def digest_to_json(record: str, digest: Digest) -> bytes:
    """What the record with that sha256 comes to, with the schema's number and a seal over both."""
    head = {"schema": DIGEST_SCHEMA, "seal": _seal(record, digest)}
    return to_json({**head, **msgspec.to_builtins(digest)}, indent=-1)


def digest_from_json(record: str, text: bytes) -> Digest:
    """What the record with that sha256 comes to; ValueError for another schema or seal, and for anything else."""
    found = from_json(text, dict[str, Any])
    if found.pop("schema", None) != DIGEST_SCHEMA:
        raise ValueError(f"this version reads digests of schema {DIGEST_SCHEMA}")
    seal = found.pop("seal", None)
    with _as_value_errors():
        digest = msgspec.convert(found, Digest)
    if seal != _seal(record, digest):
        raise ValueError("it was changed, or is another record's")
    return digest


def _seal(record: str, digest: Digest) -> str:
    return hashlib.sha256(record.encode() + to_json(digest, indent=-1)).hexdigest()


def _rules_from(found: Any) -> Rules | None:
    """Those of the gate whose thresholds have these names; None where no gate has, or its values cannot be."""
    names = {kind: frozenset(field.name for field in fields(kind)) for kind in (Rules, RegressionRules)}
    kinds = {of_kind - _ADDED_TO_RULES: kind for kind, of_kind in names.items()}
    kind = kinds.get(frozenset(found) - _ADDED_TO_RULES) if isinstance(found, dict) else None
    with _as_value_errors():
        return None if kind is None else msgspec.convert(found, kind)


def _from_schema_1(found: dict[str, Any]) -> dict[str, Any]:
    """Every pair is given the one figure of the runner's cost that there was.

    How long the trial had taken at its last look is known only as far as it decided: less than the time budget, or
    more.
    """
    try:
        overhead_ns, pairs, alone = (found.pop(name) for name in ("overhead_ns", "pairs", "alone"))
        evidence = {
            "candidate_code_size": found.pop("candidate_code_size"),
            "baseline_code_size": found.pop("baseline_code_size"),
            "pairs": [{**pair, "call_overhead_ns": overhead_ns} for pair in pairs],
            "alone": {"cases": alone} if alone else None,
            "looks": found.pop("looks"),
            "seconds": found["rules"]["max_seconds"] if found["cause"] == Cause.BUDGET else 0.0,
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is not a trial's record: {type(error).__name__}: {error}") from error
    return {**found, "evidence": evidence}
