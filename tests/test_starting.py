"""A project begun from the command line: a target that runs, the loop's contract, and what is refused."""

from __future__ import annotations

import re
import shlex
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from command_line import Said, Say

from pytest_lance_autoresearch import __version__
from pytest_lance_autoresearch.command import verbs
from pytest_lance_autoresearch.machine import files
from pytest_lance_autoresearch.target_files import discover, shipped

PLAIN = ("-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:xdist", "-q")
MINE = Path("targets", "mine")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def contents() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


# A new target.


def test_a_new_target_is_told_with_what_to_type_next(say: Say) -> None:
    assert say("new", "mine") == Said(
        0,
        [
            "wrote targets/mine, a target like the pattern 'template': float32 sums with an error limit, "
            "commented line by line",
            "run it: pytest --autoresearch=mine",
            "make it yours: kernels.py is the kernel, reference.py says what is right, inputs.py what it is "
            "given, target.py what is timed, and program.md what whoever edits the kernel must know",
        ],
        [],
    )


@pytest.mark.parametrize("like", shipped.PATTERNS)
def test_it_is_the_pattern_under_its_own_name(say: Say, like: str) -> None:
    said = say("new", "my-own_2", "--like", like)
    assert said.out[0] == f"wrote targets/my-own_2, a target like the pattern '{like}': {shipped.PATTERNS[like]}"
    pattern = {name: (shipped.pattern(like) / name).read_bytes() for name in discover.FILES}
    page = pattern["program.md"]
    assert page.count(b"NAME") == page.count(b"--autoresearch=NAME") == 2
    pattern["program.md"] = page.replace(b"NAME", b"my-own_2")
    assert contents() == {f"targets/my-own_2/{name}": text for name, text in pattern.items()}


@pytest.mark.parametrize("like", shipped.PATTERNS)
def test_the_commands_of_its_page_are_understood(say: Say, pytester: pytest.Pytester, like: str) -> None:
    pytester.chdir()
    say("new", "mine", "--like", like)
    commands = re.findall(r"^    (pytest .*?)(?:   |$)", (MINE / "program.md").read_text(), re.M)
    assert len(commands) == 2
    for command in commands:
        assert pytester.runpytest(*PLAIN, "--collect-only", *shlex.split(command)[1:]).ret == 0


def test_a_target_may_join_others(say: Say) -> None:
    say("new", "mine")
    assert say("new", "other", "--like", "exact").code == 0
    assert [layout.name for layout in discover.discover(Path.cwd())] == ["mine", "other"]


def test_what_is_there_is_left_as_it_is(say: Say) -> None:
    say("new", "mine")
    (MINE / "kernels.py").write_text("# the work of a night\n")
    before = contents()
    sentence = "ERROR: targets/mine: is there already, and was left as it is; expected a new name"
    assert say("new", "mine", "--like", "float") == Said(2, [], [sentence])
    assert contents() == before


def test_a_link_that_leads_nowhere_is_there_too(say: Say) -> None:
    MINE.parent.mkdir()
    MINE.symlink_to("nowhere")
    assert say("new", "mine").code == 2
    assert MINE.is_symlink()


@pytest.mark.parametrize("place", ["kernels", "lib/kernels"])
def test_a_target_of_that_name_elsewhere_is_a_twin_too(say: Say, place: str) -> None:
    """A run that finds both refuses both."""
    say("new", "mine")
    Path("lib").mkdir()
    MINE.parent.rename(place)
    sentence = f"ERROR: target 'mine': is there already, in {place}/mine; expected a new name"
    assert say("new", "mine") == Said(2, [], [sentence])
    assert not MINE.parent.exists()


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("class", "a keyword of Python"),
        ("not", "a keyword of Python"),
        ("tests", "what a folder of tests is called"),
        ("__pycache__", "what Python calls its folder of compiled modules"),
        ("build", "a folder that pytest passes over"),
    ],
)
def test_a_name_that_means_something_else(say: Say, name: str, what: str) -> None:
    assert say("new", name) == Said(2, [], [f"ERROR: target '{name}': is {what}; expected another name"])
    assert not list(Path().iterdir())


def test_a_name_that_looks_like_an_option(say: Say) -> None:
    sentence = "ERROR: target '-mine': begins like an option; expected a letter, a digit or '_' first"
    assert say("new", "--", "-mine") == Said(2, [], [sentence])
    assert not list(Path().iterdir())


@pytest.mark.parametrize("below", [".", "__pycache__"])
def test_a_target_holds_no_other_one(say: Say, project: Path, monkeypatch: pytest.MonkeyPatch, below: str) -> None:
    say("new", "mine")
    before = contents()
    (MINE / below).mkdir(exist_ok=True)
    monkeypatch.chdir(MINE / below)
    sentence = (
        f"ERROR: {project / MINE}: is a target, in which no other one can lie; "
        f"change to {project} and run this again"
    )
    assert say("new", "other") == Said(2, [], [sentence])
    monkeypatch.chdir(project)
    assert contents() == before


def test_a_target_that_lies_alone_holds_no_other_one_either(
    say: Say, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say("new", "mine")
    monkeypatch.chdir(MINE.rename("alone"))
    assert say("new", "other").err[0].endswith(f"; change to {project} and run this again")


def test_the_folder_of_the_targets_gets_no_such_folder_in_it(
    say: Say, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say("new", "mine")
    monkeypatch.chdir(MINE.parent)
    sentence = f"ERROR: {project}/targets: holds the targets itself; change to {project} and run this again"
    assert say("new", "other") == Said(2, [], [sentence])
    assert [path.name for path in Path().iterdir()] == ["mine"]


def test_a_name_is_needed(say: Say) -> None:
    sentence = "ERROR: target '': has no name; expected one of letters, digits, '_' and '-'"
    assert say("new", "") == Said(2, [], [sentence])


@pytest.mark.parametrize("name", ["a b", "../mine", "a/b", "k.v", "größe", ".hidden", "a:b", "a[1]"])
def test_a_name_that_no_target_can_have(say: Say, name: str) -> None:
    sentence = (
        f"ERROR: target '{name}': the directory's name has characters that test ids cannot carry; "
        f"expected only letters, digits, '_' and '-'"
    )
    assert say("new", name) == Said(2, [], [sentence])
    assert not list(Path().iterdir())


def test_targets_may_be_no_folder(say: Say) -> None:
    MINE.parent.write_text("a file")
    sentence = (
        "ERROR: targets: is no folder; expected one that targets/mine can lie in, so give it another name first"
    )
    assert say("new", "mine") == Said(2, [], [sentence])
    assert MINE.parent.read_text() == "a file"


def test_a_place_that_cannot_be_written(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user who may write everywhere, such as root, cannot find out by chmod."""

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refused)
    assert say("new", "mine") == Said(2, [], ["ERROR: targets/mine: cannot be written: Permission denied"])


@pytest.mark.parametrize("is_there", [False, True])
def test_nothing_half_written_stays_behind(
    say: Say, monkeypatch: pytest.MonkeyPatch, project: Path, is_there: bool
) -> None:
    if is_there:
        MINE.parent.mkdir()
    before = list(project.rglob("*"))
    write_text = Path.write_text

    def full_at_last(path: Path, text: str, encoding: str) -> int:
        if path.name == discover.FILES[-1]:
            raise OSError(28, "No space left on device")
        return write_text(path, text, encoding)

    monkeypatch.setattr(Path, "write_text", full_at_last)
    sentence = "ERROR: targets/mine: cannot be written: No space left on device"
    assert say("new", "mine") == Said(2, [], [sentence])
    assert list(project.rglob("*")) == before


def test_a_pattern_that_there_is_not(say: Say, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        say("new", "mine", "--like", "double")
    assert ended.value.code == 2
    assert "argument --like: invalid choice: 'double' (choose from " in capsys.readouterr().err


# The contract.


def test_the_contract_is_printed(say: Say) -> None:
    assert say("harness") == Said(0, shipped.contract().read_text().splitlines(), [])


def test_the_contract_is_written(say: Say) -> None:
    sentence = "wrote HARNESS.md, the contract of the loop; whoever edits a kernel should read it first"
    assert say("harness", "HARNESS.md") == Said(0, [sentence], [])
    assert contents() == {"HARNESS.md": shipped.contract().read_bytes()}
    sentence = "HARNESS.md: already holds this version's contract; nothing was changed"
    assert say("harness", "HARNESS.md") == Said(0, [sentence], [])


def test_another_contract_is_left_as_it_is(say: Say) -> None:
    Path("HARNESS.md").write_text("Our own rules.\n")
    sentence = (
        "ERROR: HARNESS.md: is there already, differs from this version's contract, and was left as it is; "
        "expected a new name, or remove it first"
    )
    assert say("harness", "HARNESS.md") == Said(2, [], [sentence])
    assert contents() == {"HARNESS.md": b"Our own rules.\n"}


@pytest.mark.parametrize(("given", "name"), [(".", "HARNESS.md"), ("docs", "docs/HARNESS.md")])
def test_a_folder_is_no_file(say: Say, given: str, name: str) -> None:
    Path("docs").mkdir()
    sentence = f"ERROR: {given}: is a folder; expected the name of a file, such as {name}"
    assert say("harness", given) == Said(2, [], [sentence])
    assert not contents()


def test_a_folder_that_is_not_there_is_not_made(say: Say) -> None:
    sentence = "ERROR: docs/HARNESS.md: cannot be written, for there is no folder docs; make it first"
    assert say("harness", "docs/HARNESS.md") == Said(2, [], [sentence])
    assert not list(Path().iterdir())


def test_a_file_that_cannot_be_written(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files, "write_whole", refused)
    sentence = "ERROR: HARNESS.md: cannot be written: Permission denied"
    assert say("harness", "HARNESS.md") == Said(2, [], [sentence])


# The command.


@pytest.mark.parametrize(
    ("started", "typed"),
    [
        ("/venv/bin/lance-autoresearch", "lance-autoresearch"),
        ("/venv/lib/pytest_lance_autoresearch/__main__.py", "python -m pytest_lance_autoresearch"),
    ],
)
def test_the_usage_says_what_was_typed(monkeypatch: pytest.MonkeyPatch, started: str, typed: str) -> None:
    monkeypatch.setattr(sys, "argv", [started])
    assert verbs.parser().format_usage() == f"usage: {typed} [-h] [-V] VERB ...\n"


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_is_one_line(say: Say, capsys: pytest.CaptureFixture[str], option: str) -> None:
    with pytest.raises(SystemExit) as ended:
        say(option)
    assert ended.value.code == 0
    assert capsys.readouterr() == (f"pytest-lance-autoresearch {__version__}\n", "")


@pytest.mark.parametrize(
    ("surplus", "sentence"),
    [
        (["extra"], "'extra' is one argument too many; expected no more than the usage above names"),
        (["extra", "--more"], "there is no option '--more'; --help behind the verb says which there are"),
    ],
)
def test_surplus_words_are_refused_with_the_usage_of_their_verb(
    say: Say,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    surplus: list[str],
    sentence: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["/venv/bin/lance-autoresearch"])
    with pytest.raises(SystemExit) as ended:
        say("verify", "results.tsv", *surplus)
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        f"usage: lance-autoresearch verify [-h] [--root ROOT] LOG\nlance-autoresearch verify: error: {sentence}\n"
    )


@pytest.mark.parametrize(
    ("option", "example"), [("--min-effect", "0.01"), ("--case-limit", "0.05"), ("--confidence", "0.99")]
)
def test_a_threshold_is_a_fraction(
    say: Say, capsys: pytest.CaptureFixture[str], option: str, example: str
) -> None:
    with pytest.raises(SystemExit):
        say("rejudge", "results.tsv", option, "99")
    sentence = f"error: argument {option}: 99: expected a fraction such as {example}\n"
    assert capsys.readouterr().err.endswith(sentence)


ALL = (
    "expected one of new, harness, log, show, status, verify, rejudge, report, plot, replay, audit, restore, "
    "explain, tournament; python -m pytest_lance_autoresearch --help says what they do"
)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], f"there is no verb; {ALL}"),
        (["adit", "results.tsv"], "there is no verb 'adit'; did you mean 'audit'?"),
        (["Restore"], "there is no verb 'Restore'; did you mean 'restore'?"),
        (["frobnicate"], f"there is no verb 'frobnicate'; {ALL}"),
        ([""], f"there is no verb ''; {ALL}"),
    ],
)
def test_a_command_begins_with_a_verb(say: Say, words: list[str], sentence: str) -> None:
    assert say(*words) == Said(2, [], [f"ERROR: {sentence}"])


def test_an_option_in_the_place_of_a_verb_is_refused_too(say: Say, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        say("--quiet")
    assert ended.value.code == 2
    assert "the following arguments are required: VERB" in capsys.readouterr().err


@pytest.mark.parametrize(("said", "line"), [("", "interrupted"), ("2 of 3", "interrupted: 2 of 3")])
def test_an_interrupted_verb_ends_as_shells_expect(
    say: Say, monkeypatch: pytest.MonkeyPatch, said: str, line: str
) -> None:
    def interrupted(_: object) -> str:
        raise KeyboardInterrupt(*filter(None, [said]))

    monkeypatch.setattr(discover, "name_fault", interrupted)
    assert say("new", "mine") == Said(130, [], [line])


def test_an_interrupt_that_got_lost_is_obeyed_at_the_end(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that came inside a callback, where no exception can be raised."""

    def loses_it(_: object) -> str:
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        return ""

    monkeypatch.setattr(discover, "name_fault", loses_it)
    before = signal.getsignal(signal.SIGINT)
    said = say("new", "mine")
    assert (said.code, said.err) == (130, ["interrupted"])
    assert signal.getsignal(signal.SIGINT) is before


# A trial's number.


def parsed(words: str) -> object:
    return verbs.parser().parse_args(words.split()).trial


@pytest.mark.parametrize("verb", ["replay", "restore"])
@pytest.mark.parametrize("words", ["LOG 3", "LOG --trial 3", "--trial=3 LOG", "LOG --root . 3", "LOG 3 --trial 3"])
def test_a_trial_is_named_in_the_same_ways_everywhere(verb: str, words: str) -> None:
    assert parsed(f"{verb} {words}") == 3


def test_a_trial_may_be_left_out_where_one_is_known() -> None:
    assert parsed("restore LOG") is None


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("replay LOG", "the following arguments are required: N"),
        ("replay LOG 3 --trial 4", "trial 3 and trial 4 are named; expected one of them"),
        ("restore LOG --trial 4 3", "trial 4 and trial 3 are named; expected one of them"),
        ("restore LOG third", "argument [N]: 'third' is no trial's number; expected one such as 7"),
    ],
)
def test_a_trial_that_is_not_named_well(words: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed(words)
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"error: {sentence}")


def test_the_usage_shows_where_a_trial_can_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    for words, shown in [("replay -h", "[--trial N] LOG N"), ("restore -h", "LOG [N]")]:
        with pytest.raises(SystemExit):
            parsed(words)
        assert shown in " ".join(capsys.readouterr().out.split())
