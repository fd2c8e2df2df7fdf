"""An evaluator for ShinkaEvolve, in three lines of the script that it starts for each candidate:

    from pytest_lance_autoresearch.interface.shinka import evaluate

    evaluate("targets/mine", baseline="initial.py")

Owns what is written for ShinkaEvolve, which reads files and need not be installed where kernels are judged.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_lance_autoresearch.errors import AutoresearchError
from pytest_lance_autoresearch.interface.scores import RULES, Scale, Score
from pytest_lance_autoresearch.records import Rules


def evaluate(
    target: str | Path,
    *,
    baseline: str | Path,
    rules: Rules = RULES,
    states: Path | None = None,
    arguments: Sequence[str] | None = None,
) -> None:
    """Judge the program that the command line names, and write `metrics.json` and `correct.json`.

    `combined_score` is the certain speed-up over `baseline`. Where the kernel is not to blame, nothing is written
    and the script ends with one sentence on stderr: ShinkaEvolve takes that for an incorrect program. `arguments`
    stands for the command line.
    """
    parser = argparse.ArgumentParser(description="Judges a kernel for ShinkaEvolve.")
    parser.add_argument("--program_path", type=Path, required=True)
    parser.add_argument("--results_dir", type=Path, required=True)
    asked = parser.parse_args(arguments)
    try:
        score = Scale(target, baseline, rules, states).score(asked.program_path)
    except (AutoresearchError, OSError) as fault:
        raise SystemExit(str(fault)) from None
    _write(asked.results_dir, score)


def _write(folder: Path, score: Score) -> None:
    metrics = {
        "combined_score": score.value,
        "public": {"verdict": score.verdict},
        "private": {},
        "text_feedback": score.feedback,
    }
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "metrics.json", metrics)
    _write_json(
        folder / "correct.json",
        {"correct": score.is_correct, "error": None if score.is_correct else score.reason},
    )


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")
