"""The documents say what the program does: numbers, exit codes, options, keys, columns, links, commands."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pytest_lance_autoresearch import records
from pytest_lance_autoresearch.kernel_side import wire
from pytest_lance_autoresearch.log import results
from pytest_lance_autoresearch.records import (
    EXIT_CODES,
    Figures,
    Interval,
    Judgement,
    Outcome,
    Rules,
    Status,
    Verdict,
)
from pytest_lance_autoresearch.runs import selftest
from pytest_lance_autoresearch.target_files import contract, offered, policy
from pytest_lance_autoresearch.verdict import judge, price, view
from pytest_lance_autoresearch.words import report

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("targets/*/program.md")])
README = (ROOT / "README.md").read_text()
HARNESS = (ROOT / "HARNESS.md").read_text()
OUTPUT = (ROOT / "docs" / "output.md").read_text()
REFERENCE = (ROOT / "docs" / "target-reference.md").read_text()
RULES = Rules()


def table(page: str, heading: str) -> dict[str, str]:
    """First column to second column of the first table below a heading."""
    below = page[page.index(f"\n## {heading}\n") :]
    rows = re.findall(r"^\| (.+?) \| (.+?) \|", below.split("\n## ", 2)[1], re.MULTILINE)
    return {name: value for name, value in rows if not name.startswith("-")}


def test_the_loops_contract_gives_the_codes_own_numbers() -> None:
    said = table(HARNESS, "What a keep needs")
    band = f"{RULES.noise_band * 100:g} %"
    assert said["overall gain at least"] == f"{RULES.min_effect * 100:g} %"
    assert f"at {RULES.confidence * 100:g} % over all looks" in said["interval of the overall gain"]
    assert said["any one case slower than"].startswith(f"{RULES.case_limit * 100:g} % ")
    assert said["peak memory over the baseline's"] == (
        f"at most {RULES.memory_fraction * 100:g} % and at most {RULES.memory_bytes // 2**20} MiB"
    )
    assert said["looks at the data"] == (
        f"as many as fit into the time budget, each of {RULES.pairs} pairs of fresh processes with {RULES.blocks} "
        f"blocks of every case; later ones of {judge.TIMES_PAIRS * RULES.pairs} shorter pairs while the whole is "
        f"in doubt, and then longer at cases that are"
    )
    assert f"`inconclusive` after {RULES.max_looks} looks" in HARNESS
    assert said["time budget of a trial, without waiting for others"].startswith(f"{RULES.max_seconds:g} s ")
    assert said["longest answer of a kernel"].startswith(f"{records.ANSWER_TIMEOUT_S:g} s ")
    looks = "looks, each with data of its own; from the second on with hidden sizes"
    assert said[looks] == f"{view.LEAST_LOOKS} or more"
    assert said["CPU time of building, of every case"] == (
        f"at most the target's `BUILD_BUDGET`; without one, {price.TIMES_BASELINE:g} times the baseline's or "
        f"{price.NS_PER_BYTE:g} ms per MB of state; {price.FREE_BUILDING_NS / 1e6:g} ms is always free"
    )
    assert f"the whole interval of the speed-up lies within {band} of equal" in HARNESS


def test_the_loops_contract_names_what_a_kernel_may_import() -> None:
    said = " ".join(HARNESS.split())
    allowed = said[said.index("import anything but ") :].split(".")[0]
    assert set(re.findall(r"\w+", allowed.removeprefix("import anything but "))) - {"and"} == set(
        policy.MODULES
    ) - {"__future__"}


def test_the_loops_contract_gives_every_exit_code() -> None:
    below = HARNESS[HARNESS.index("| exit code |") :]
    said = {int(code): text for code, text in re.findall(r"^\| (\d+) \| (.+?) \|", below, re.MULTILINE)}
    for status, code in EXIT_CODES.items():
        if status is not Status.INVALID:
            assert f"`{status}`" in said[code]
    assert "no verdict possible" in said[EXIT_CODES[Status.INVALID]]
    assert "time budget" in said[records.BUDGET_EXIT_CODE]
    assert EXIT_CODES[Status.INVALID] == records.NO_VERDICT_EXIT_CODE
    assert f"(`{' '.join(status.value for status in Status)}`)" in HARNESS


def kept() -> Outcome:
    figures = Figures("query", {"a": 1.0, "b": 2.0}, 1.4, "b", "a", 2**20)
    speedup = Interval(1.0, 1.1, 1.2)
    judgement = Judgement(Verdict.KEEP, records.Cause.FASTER, speedup, {"a": speedup, "b": speedup})
    return Outcome(
        "pq-l2",
        "query",
        correct=2,
        failed=0,
        items=2,
        seconds=1.0,
        status=Status.KEEP,
        reason="keep: x",
        figures=figures,
        judgement=judgement,
        windows=8,
        trial=2,
        baseline_trial=1,
        disturbance=records.Disturbance(2, 0, 0.0),
        log=Path("results.tsv"),
    )


@pytest.mark.parametrize("page", [README, HARNESS], ids=["README", "HARNESS"])
def test_the_shown_blocks_have_the_programs_keys(page: str) -> None:
    keys = list(dict.fromkeys(line.split(":")[0] for line in report.block(kept())[1:]))
    shown = page[page.index("    ---\n") :].split("\n\n", maxsplit=1)[0].splitlines()[1:]
    said = list(dict.fromkeys(line.strip().split(":")[0] for line in shown if line.strip() != "..."))
    assert [key for key in keys if key in said] == [key for key in said if key != "note"]
    if "..." not in (line.strip() for line in shown):
        assert set(keys) == set(said) - {"note"}


def test_the_page_about_the_output_has_every_key_and_every_column() -> None:
    for line in [*report.block(kept())[1:], *report.block(replace(kept(), judgement=None))[1:]]:
        assert f"`{line.split(':')[0].replace('query', '<unit>')}`" in OUTPUT
    for column in results.COLUMNS:
        assert f"`{column}`" in OUTPUT


def test_the_target_reference_names_every_stand_in_of_the_self_test() -> None:
    assert {name.strip("`") for name in table(REFERENCE, "The self-test")} - {"Stand-in"} == set(selftest.NAMES)


def code(cell: str) -> set[str]:
    """What stands in a cell of a table as code."""
    return set(re.findall(r"`([^`]+)`", cell))


def rows_below(page: str, heading: str) -> dict[str, str]:
    """As `table`, below a smaller heading."""
    return table(page.replace(f"\n### {heading}\n", f"\n## {heading}\n"), heading)


def test_the_target_reference_says_all_that_a_source_may_not_contain() -> None:
    said = rows_below(REFERENCE, "What its source may not contain")
    assert code(said["imports"]) == {*policy.MODULES, "target.IMPORTS"}
    assert code(said["parts of those modules"]) == {*policy.FORBIDDEN, "__all__"}
    assert code(said["of numba"]) == {
        *("numba.types", "numba.typed", "numba.experimental", "numba.extending"),
        *(name for names in offered.OFFERED.values() for name in names - offered.TYPES),
    }
    assert code(said["names"]) == policy.BUILTINS
    assert code(said["attributes"]) == {*(f".{name}" for name in policy.ATTRIBUTES), ".base", "self"}
    assert code(said["special methods"]) == policy.SPECIAL_METHODS
    assert code(said["special names"]) == policy.SPECIAL_NAMES
    assert said["data"] == (
        f"a source of more than {policy.MAX_BYTES // 1024} KiB, a string of more than {policy.MAX_TEXT} "
        f"characters, a literal of more than {policy.MAX_ENTRIES} entries"
    )
    assert set(said) == {"What", *SAID_OF_SOURCES}


SAID_OF_SOURCES = {
    *("imports", "parts of those modules", "of numba", "ways around", "names", "attributes", "special methods"),
    *("special names", "modules", "classes", "parallel code", "data"),
}


def test_the_target_reference_says_which_results_there_are() -> None:
    said = rows_below(REFERENCE, "The types of results")
    dtypes = {str(np.dtype(name)) for name in wire.DTYPES}
    assert code(said["an array"]) == {"numpy.ndarray", *dtypes}
    assert f"of {wire.MAX_DIMS} dimensions at most" in said["an array"]
    assert code(said["a number of Python"]) == {kind.__name__ for kind in wire.PYTHON_NUMBERS}
    assert said["several of these"].startswith(f"a tuple of up to {wire.MAX_ITEMS}, ")


def test_the_target_reference_says_how_many_threads_there_may_be() -> None:
    assert f"optional whole number from 1 to {contract.MAX_THREADS}" in REFERENCE


def test_the_readme_lists_every_target_and_each_has_its_capsule() -> None:
    targets = {path.name for path in (ROOT / "targets").iterdir() if not path.name.startswith("_")}
    assert set(re.findall(r"^\| \[([a-z0-9-]+)\]\(docs/targets/\1\.md\)", README, re.MULTILINE)) == targets


def test_the_ports_time_is_the_product_of_the_kernels_and_how_many_times_as_fast_that_is() -> None:
    rows = re.findall(r"\| ([0-9.]+) (ns|us)/[a-z]+ \| ([0-9.]+) \2 \| ([0-9.x ]+) \[", README)
    assert len(rows) == README.count("](docs/targets/")
    for port, _, now, factors in rows:
        product = float(now) * math.prod(map(float, factors.split(" x ")))
        assert float(port) == pytest.approx(product, rel=0.01)


def test_the_readme_has_the_two_commands_and_is_short() -> None:
    lines = README.splitlines()
    commands = [line.strip() for line in lines if line.startswith("    python3 -m venv .venv && ")]
    assert len(lines) < 150
    assert [command.split(" && ")[-1] for command in commands] == [
        ".venv/bin/pytest --autoresearch=pq-l2",
        ".venv/bin/pytest -n auto --dist loadfile",
    ]


def test_every_option_in_the_documents_exists_and_every_option_is_documented(pytester: pytest.Pytester) -> None:
    known = set(re.findall(r"--[a-z-]*autoresearch[a-z-]*", pytester.runpytest("--help").stdout.str()))
    said = {
        option
        for page in PAGES
        for option in re.findall(r"--autoresearch[a-z-]*", page.read_text())
        if not option.endswith("-")
    }
    assert said - known == set()
    assert known - said == set()


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_to_a_section_find_it(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text()):
        assert anchor in anchors(page.parent / target if target else page), f"{target}#{anchor}"


def test_ci_runs_the_readmes_own_test_command() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    pattern = re.search(r"s/\^    \\\((.+)\\\)\$/", script)
    assert pattern is not None
    matching = [line for line in README.splitlines() if re.fullmatch(f"    ({pattern[1]})", line)]
    assert len(matching) == 1
