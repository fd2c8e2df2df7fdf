"""The examples' loops, each with the real framework: a scripted model proposes kernels, trials judge them.

Run by `tests/evolution/run`, which installs the frameworks. The model and the toy target are all that is not as in
the examples: the commands are those of their READMEs.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import Any

import model_server
import pytest
import toys

from pytest_lance_autoresearch.interface import Outcome, Status, TargetError, scores
from pytest_lance_autoresearch.interface.openevolve import evaluator

EXAMPLES = Path(__file__).parents[2] / "examples"
ITERATIONS = 4
WRONG = toys.KERNEL.replace("weights, x)", "weights, x) + 1")
BROKEN = toys.KERNEL.replace("for _ in", "for in")
EVALUATORS = {"openevolve": "evaluator.py", "shinka": "evaluate.py"}
SHORTER = 6
ADDRESS = "127.0.0.1:8000"
SPY = """
import sys

def hear(event, arguments):
    if event == "socket.connect" and not isinstance(arguments[1], str):
        with open({!r}, "a") as heard:
            heard.write(f"{{arguments[1][0]}}\\n")

sys.addaudithook(hear)
"""
"""Notes where every Python process connects to."""


def marked(kernel: str) -> str:
    """As the READMEs mark what may change, which is everything."""
    return f"# EVOLVE-BLOCK-START\n{kernel}# EVOLVE-BLOCK-END\n"


def answer(kernel: str) -> str:
    """In the form that both frameworks read."""
    code = f"```python\n{marked(kernel)}```"
    return f"<NAME>\nidea\n</NAME>\n<DESCRIPTION>\nAn idea.\n</DESCRIPTION>\n<CODE>\n{code}\n</CODE>\n"


@pytest.fixture
def model() -> Iterator[model_server.Model]:
    """Proposes a wrong kernel, one that is no Python, and then the faster one again and again."""
    with model_server.serving([answer(kernel) for kernel in (WRONG, BROKEN, toys.FASTER)]) as model:
        yield model


def follow(name: str, folder: Path, model: model_server.Model) -> Path:
    """Do what the README of an example says, with a toy as the target; its folder."""
    example = shutil.copytree(EXAMPLES / name, folder / name)
    toys.write(example, "mine")
    shorten(example / EVALUATORS[name])
    config = example / "config.yaml"
    assert config.read_text().count(ADDRESS) == 1
    config.write_text(config.read_text().replace(ADDRESS, model.address))
    begin, loop = commands(example / "README.md")
    run(begin, example)
    assert (example / "initial.py").read_text() == marked(toys.KERNEL)
    run(re.sub(r"\b100$", str(ITERATIONS + (name == "shinka")), loop), example)  # shinka counts the first, too
    heard = set((folder / "heard").read_text().split())
    assert heard == {"127.0.0.1"}, "it talks to nobody but the model"
    return example


def shorten(evaluator: Path) -> None:
    """Measure as briefly as other tests do, in whatever process it is loaded."""
    briefly = f"from pytest_lance_autoresearch.bench import measure\nmeasure.WINDOW_NS //= {SHORTER}\n"
    evaluator.write_text(briefly + evaluator.read_text())


def commands(readme: Path) -> tuple[str, str]:
    """The one that writes the initial program, and the one that starts the loop."""
    lines = re.findall(r"^    (.+)$", readme.read_text(), re.MULTILINE)
    _, _, begin, _, loop, _ = lines
    return begin, loop


def run(command: str, folder: Path) -> None:
    spies = folder.parent / "spies"
    spies.mkdir(exist_ok=True)
    (spies / "sitecustomize.py").write_text(SPY.format(str(folder.parent / "heard")))
    found = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    surroundings = {"PATH": found, "PYTHONPATH": str(spies), "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        ["bash", "-c", command],
        check=False,
        cwd=folder,
        env=os.environ | surroundings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_openevolve_finds_the_faster_kernel(tmp_path: Path, model: model_server.Model) -> None:
    found = follow("openevolve", tmp_path, model) / "found"
    assert (found / "best/best_program.py").read_text().strip() == marked(toys.FASTER).strip()
    assert read(found / "best/best_program_info.json")["metrics"]["combined_score"] > 1

    programs = [read(path) for path in found.glob(f"checkpoints/checkpoint_{ITERATIONS}/programs/*.json")]
    scores = {program["code"].strip(): program["metrics"] for program in programs}
    told = {program["code"].strip(): artifacts(program) for program in programs}
    initial, wrong, broken = (marked(kernel).strip() for kernel in (toys.KERNEL, WRONG, BROKEN))
    assert scores[initial] == {"combined_score": 1.0}
    assert scores[wrong] == scores[broken] == {"combined_score": 0.0}
    check_wrong(told[wrong]["verdict"], told[wrong]["reason"])
    assert "SyntaxError" in told[broken]["reason"]
    faster = told[marked(toys.FASTER).strip()]
    assert "64x32-uniform: speed-up " in faster["cases"]


def artifacts(program: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = json.loads(program["artifacts_json"])
    return found


def check_wrong(verdict: str, reason: str) -> None:
    assert verdict == "incorrect"
    assert reason.startswith("incorrect: 64x32-"), "the failing case is named"
    assert "first at [0]: kernel " in reason


def test_shinka_finds_the_faster_kernel(tmp_path: Path, model: model_server.Model) -> None:
    found = follow("shinka", tmp_path, model) / "found"
    assert (found / "best/main.py").read_text().strip() == marked(toys.FASTER).strip()
    assert read(found / "best/results/metrics.json")["combined_score"] > 1

    ends = {(path / "main.py").read_text().strip(): path / "results" for path in found.glob("gen_*")}
    initial, wrong, broken = (ends[marked(kernel).strip()] for kernel in (toys.KERNEL, WRONG, BROKEN))
    assert read(initial / "metrics.json")["combined_score"] == 1.0
    assert read(initial / "correct.json") == {"correct": True, "error": None}
    assert read(wrong / "metrics.json")["combined_score"] == read(broken / "metrics.json")["combined_score"] == 0.0
    error = read(wrong / "correct.json")["error"]
    check_wrong(read(wrong / "metrics.json")["public"]["verdict"], error)
    assert read(wrong / "metrics.json")["text_feedback"] == error
    assert "SyntaxError" in read(broken / "correct.json")["error"]


def test_of_two_calls_in_one_process_one_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenEvolve's threads: one that ran out of time goes on beside the next."""
    both = Barrier(2)

    def judge(*_: object, **__: object) -> Outcome:
        with suppress(BrokenBarrierError):
            both.wait(0.2)
        return Outcome("mine", "product", 0, 1, 1, 0.0, status=Status.INCORRECT, reason="incorrect: wrong")

    monkeypatch.setattr(scores, "judge", judge)
    folder = toys.write(tmp_path)
    evaluate = evaluator(folder, baseline=folder / "kernels.py")
    with ThreadPoolExecutor(2) as threads:
        ends = list(threads.map(evaluate, ["a.py", "b.py"]))
    assert both.broken, "they never met"
    assert [end.metrics for end in ends] == [{"combined_score": 0.0}] * 2
    assert ends[0].artifacts == {"verdict": "incorrect", "reason": "incorrect: wrong"}


def test_openevolve_is_told_at_once_that_there_is_no_target(tmp_path: Path) -> None:
    from openevolve.config import EvaluatorConfig
    from openevolve.evaluator import Evaluator

    file = tmp_path / "evaluator.py"
    shutil.copy(EXAMPLES / "openevolve" / "evaluator.py", file)
    with pytest.raises(TargetError, match=r"^targets/mine: holds no target; expected "):
        Evaluator(EvaluatorConfig(), str(file))
