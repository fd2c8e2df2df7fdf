"""The verdict over several hosts: what each must not show, and what all of them together must."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from builders import (
    CASES,
    RSS_BYTES,
    everywhere,
    evidence,
    figures,
    outcome,
    pair,
    pairs_of_a_look,
    shifted,
    spread,
)

from pytest_lance_autoresearch.records import Cause, Evidence, OnHost, Pair, Rules, Status, Verdict
from pytest_lance_autoresearch.verdict import hosts, judge
from pytest_lance_autoresearch.words import report

NAMES = ("zen (EPYC)", "lake (Xeon)", "arm (Graviton)", "old (Opteron)", "new (Ryzen)")


def quick(gain: float, count: int = 8) -> list[Pair]:
    """Pairs of one host that agree."""
    return pairs_of_a_look(everywhere(spread(gain, 0.001, 6)), 0.001, count)


def over(*of_hosts: Sequence[Pair], looks: int = 2, seconds: float = 0.0) -> Evidence:
    """The evidence of as many hosts as there are lists of pairs."""
    found = evidence(*(one for pairs in of_hosts for one in pairs), looks=looks, seconds=seconds)
    return replace(found, hosts=tuple(OnHost(*one) for one in zip(NAMES, map(len, of_hosts), strict=False)))


def said(of: Evidence) -> tuple[Verdict, Cause, str]:
    judgement = judge.look(of, Rules())
    return judgement.verdict, judgement.cause, report.judged_reason(judgement, figures(), Rules())


def test_a_gain_that_all_hosts_share_is_kept() -> None:
    judgement = judge.look(over(quick(0.05), quick(0.051), quick(0.0505), quick(0.0495)), Rules())
    assert (judgement.verdict, judgement.cause) == (Verdict.KEEP, Cause.FASTER)
    assert judgement.speedup is not None
    assert judgement.speedup.point == pytest.approx(1.0515, abs=1e-3)
    assert [one.host for one in judgement.hosts] == list(NAMES[:4])
    assert [one.pairs for one in judgement.hosts] == [8] * 4
    assert report.judged_reason(judgement, figures(), Rules()) == (
        "keep: -4.9 % [-5.1 %, -4.7 %] over 4 hosts, no case slower than 5 % on any, confirmed in fresh processes"
    )


def test_the_mean_over_hosts_is_off_by_as_much_as_they_differ() -> None:
    """Whatever each of them alone is sure of."""
    alike, apart = (
        judge.look(over(*(quick(0.05 + shift) for shift in shifts)), Rules()).speedup
        for shifts in ((0.0, 0.001, -0.001), (0.0, 0.03, -0.03))
    )
    assert alike is not None
    assert apart is not None
    assert alike.low > 1 > apart.low
    assert alike.point == pytest.approx(apart.point, abs=1e-3)


def test_where_hosts_differ_too_much_it_says_so_at_once() -> None:
    assert said(over(quick(0.05), quick(0.09), quick(0.01))) == (
        Verdict.INCONCLUSIVE,
        Cause.HOSTS_DIFFER,
        "inconclusive: -4.9 % [-31.3 %, +31.7 %] over 3 hosts, undecided: the hosts differ, "
        "-1.0 % on arm (Graviton) and -8.6 % on lake (Xeon); more measuring would not tell, more hosts would",
    )


def test_one_host_is_the_ordinary_gate() -> None:
    pairs = quick(0.05)
    alone = judge.look(evidence(*pairs, looks=2), Rules())
    assert judge.look(over(pairs), Rules()) == alone
    assert alone.hosts == ()
    assert judge.next_looks(alone, Rules()) == [judge.next_look(alone, Rules())]


def test_two_hosts_alone_are_hardly_ever_enough() -> None:
    assert said(over(quick(0.05), quick(0.052)))[0] is not Verdict.KEEP
    assert judge.look(over(quick(0.05), quick(0.05)), Rules()).verdict is Verdict.KEEP


def test_no_host_may_show_that_it_is_slower() -> None:
    verdict, cause, sentence = said(over(quick(0.05), quick(0.051), quick(0.0495), quick(-0.02)))
    assert (verdict, cause) == (Verdict.DISCARD, Cause.HOST_REGRESSED)
    assert sentence == (
        "discard: -3.2 % [-15.1 %, +10.3 %] over 4 hosts, but +2.0 % [+1.9 %, +2.2 %] on old (Opteron)"
    )


def test_no_case_may_be_slower_on_any_host() -> None:
    slower = everywhere(spread(0.05, 0.001, 6)) | {CASES[1]: spread(-0.08, 0.001, 6)}
    odd = [pair(shifted(slower, shift)) for shift in spread(0.0, 0.001, 8)]
    verdict, cause, sentence = said(over(quick(0.05), odd, quick(0.051)))
    assert (verdict, cause) == (Verdict.DISCARD, Cause.CASE_REGRESSED)
    assert sentence.endswith(f", but {CASES[1]} +8.3 % on lake (Xeon) (limit +5 %)")


def test_every_case_must_be_known_on_every_host() -> None:
    seldom = pairs_of_a_look(everywhere([0.05]), 0.001, 3)
    found = over(quick(0.05), seldom, quick(0.0505), seconds=1e9)
    assert said(found) == (
        Verdict.INCONCLUSIVE,
        Cause.BUDGET,
        "inconclusive: -4.9 % [-5.1 %, -4.7 %] over 3 hosts, undecided when the time budget of 600 s ended: "
        "2x3-flat was measured too seldom on lake (Xeon) to say how much slower it may be (measured -4.9 %, "
        "limit +5 %); more time or a quieter machine would tell",
    )


def test_memory_is_told_by_the_host_where_it_is_too_much() -> None:
    dear = [replace(one, candidate_peak_rss_bytes=2 * RSS_BYTES) for one in quick(0.05)]
    verdict, cause, sentence = said(over(quick(0.05), dear, quick(0.0505)))
    assert (verdict, cause) == (Verdict.DISCARD, Cause.MEMORY)
    assert "peak RSS 200.0 -> 400.0 MB (limit 232.0 MB)" in sentence


def test_what_is_open_on_one_host_alone_is_measured_there() -> None:
    wide = everywhere(spread(0.05, 0.001, 6)) | {CASES[0]: spread(-0.04, 0.04, 6)}
    odd = [pair(shifted(wide, shift)) for shift in spread(0.0, 0.001, 4)]
    found, rules = over(quick(0.05, 4), odd, quick(0.051, 4), quick(0.0505, 4), looks=1), Rules()
    steady, open_one, *_ = judge.next_looks(judge.look(found, rules), rules)
    assert open_one.blocks[CASES[0]] > steady.blocks[CASES[0]]


def test_the_first_host_has_the_nanoseconds() -> None:
    one, other = quick(0.05), quick(0.06)
    assert hosts.first(over(one, other)) == tuple(one)
    assert hosts.first(evidence(*one)) == tuple(one)
    assert [part.pairs for part in hosts.split(over(one, other))] == [tuple(one), tuple(other)]


@pytest.mark.parametrize("gain", [0.0, -0.03])
def test_no_gain_is_no_keep(gain: float) -> None:
    assert said(over(quick(gain), quick(gain + 0.0005), quick(gain - 0.0005)))[0] is Verdict.DISCARD


def test_a_block_has_a_line_for_each_host_and_for_few_of_many() -> None:
    judgement = judge.look(over(*(quick(0.05 + n / 1000) for n in range(5))), Rules())
    lines = report.block(replace(outcome(Status.KEEP), figures=figures(), judgement=judgement))
    told = [line for line in lines if line.startswith("host: ")]
    assert told[0].startswith("host: new (Ryzen) 1.0555 [")
    assert len(told) == 4
    assert len([line for line in lines if "_gained: " in line]) == 2
    assert len(lines) <= report.BLOCK_LINES
    assert len(report.as_json(replace(outcome(), judgement=judgement))["hosts"]) == 5
