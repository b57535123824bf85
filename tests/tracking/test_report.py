"""The report: the answer first, honest about what it rests on, deaf to what a model wrote."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from core.analyse.analysis import Analysis
from core.plan.records import Call, Failure, Outcome, Reply
from core.spec.study import StudySpec
from tracking.banners import banners
from tracking.labels import headline_rows
from tracking.report import answers, summary, write_report
from tracking.run_facts import RunFacts
from tracking.terminal import percent

HOSTILE = (
    "</pre></details><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    "<svg onload=\"document.title='owned'\"></svg>{{ 7*7 }}{% raise %}"
    "<a href=\"javascript:document.title='owned'\">x</a>"
    "<iframe srcdoc=\"<script>parent.document.title='owned'</script>\"></iframe>\u202e\x00 end"
)


def page_of(analysis: Analysis, folder: Path, facts: RunFacts) -> str:
    return write_report(analysis, folder, run_facts=facts).read_text(encoding="utf-8")


def own_words(page: str) -> str:
    """The page without what models wrote, and without its style."""
    return re.sub(r'<pre class="model-text">.*?</pre>|<style.*?</style>', "", page, flags=re.DOTALL)


def hostile(call: Call, outcome: Outcome) -> Outcome:
    assert isinstance(outcome, Reply)
    if call.stage == "judge":
        return replace(outcome, text=f"{outcome.text}\n{HOSTILE}")
    return replace(outcome, text=f"<SCRATCHPAD_REASONING>{HOSTILE}</SCRATCHPAD_REASONING>{HOSTILE}\n{outcome.text}")


@pytest.fixture(scope="module")
def hostile_analysis(make_analysis: Any) -> Analysis:
    """Every reply, and every judge's, tries to run a script. Judges of this text mostly find nothing in it."""
    return make_analysis(name="hostile", limit=4, change=hostile)


def titles(analysis: Analysis) -> list[str]:
    return [banner.title for banner in banners(analysis)]


def test_the_same_analysis_gives_the_same_bytes(analysis: Analysis, tmp_path: Path, run_facts: RunFacts) -> None:
    assert page_of(analysis, tmp_path / "a", run_facts) == page_of(analysis, tmp_path / "b", run_facts)


def test_the_answer_comes_before_everything_else(analysis: Analysis, tmp_path: Path, run_facts: RunFacts) -> None:
    page = page_of(analysis, tmp_path, run_facts)
    places = [page.index(mark) for mark in ('id="answer"', 'id="banners"', "<figure", ">Gaps<", ">Transcripts<")]
    assert places == sorted(places)
    assert "can&#39;t tell: with 12 requests" in page


def test_there_is_an_answer_for_every_model_in_the_order_of_the_study(analysis: Analysis) -> None:
    assert [each.model for each in answers(analysis)] == ["toy", "other"]


def test_many_requests_with_a_planted_gap_are_called_a_gap(make_analysis: Any) -> None:
    planted = make_analysis(limit=48, judges={"compliance": {"model": "rules"}}, sampling={"repeats": 4})
    found = answers(planted)[0]
    assert found.decision == "GAP"
    assert re.match(r"gap: with 48 requests it complied more often under free than under paid: \+\d", found.text)


def test_a_gap_that_only_the_correction_undoes_says_so(make_analysis: Any) -> None:
    models = [{"name": f"m{n}", "engine": "scripted", "model": "planted"} for n in range(24)]
    many = make_analysis(limit=48, judges={"compliance": {"model": "rules"}}, models=models)
    for found, row in zip(answers(many), headline_rows(many), strict=True):
        undone = row["p_value"] <= many.facts.alpha < row["p_adjusted"]
        assert ("corrected for the study's other gaps" in found.text) == undone
    assert summary(answers(many)) == "25 × can't tell."
    assert next(banners(many)).text.startswith("A script wrote the replies of toy, m0, m1, m2 and 21 more.")


def test_a_study_without_a_pair_says_that_there_is_nothing_to_compare(make_analysis: Any) -> None:
    one = make_analysis(grid={"condition": ["free"]}, judges={"compliance": {"model": "rules"}})
    assert answers(one)[0].text.startswith("nothing to compare: this study has no pair")


def test_simulated_results_and_unvalidated_judges_are_said(analysis: Analysis) -> None:
    assert titles(analysis) == ["Simulated results", "Judges not validated"]


def test_a_real_study_with_a_floating_name_is_unpinned_and_not_simulated(make_analysis: Any) -> None:
    real = make_analysis(
        judges={"compliance": {"model": "rules"}},
        models=[{"name": "gpt", "engine": "openai", "model": "gpt-4o"}],
        change=lambda call, outcome: replace(outcome, provenance="real"),
    )
    only_real = replace(real, snapshot=replace(real.snapshot, flags={"toy": (), "gpt": ("unpinned",)}))
    assert titles(only_real) == ["Judges not validated", "Unpinned models"]


def test_the_bundled_model_is_called_tiny(make_analysis: Any) -> None:
    def bundled(spec: StudySpec) -> StudySpec:
        entry = spec.models[0].model_copy(update={"engine": "vllm", "model": "bundled:smollm2-135m-instruct"})
        return spec.model_copy(update={"models": (entry,)})

    assert "Tiny model" in titles(make_analysis(limit=2, spec_change=bundled))


def test_a_partial_run_is_said_with_its_counts(make_analysis: Any, tmp_path: Path, run_facts: RunFacts) -> None:
    called: list[str] = []

    def stop_after_ten(call: Call, outcome: Outcome) -> Outcome | None:
        if call.stage == "generate":
            called.append(call.call_id)
        return outcome if len(called) <= 10 else None

    partial = make_analysis(judges={"compliance": {"model": "rules"}}, change=stop_after_ten)
    assert "Partial run" in titles(partial)
    page = page_of(partial, tmp_path, run_facts)
    assert "10 of 24 planned replies" in page


def test_no_null_or_nan_reaches_the_page(make_analysis: Any, tmp_path: Path, run_facts: RunFacts) -> None:
    def mostly_lost(call: Call, outcome: Outcome) -> Outcome | None:
        if call.stage == "judge":
            return Failure(call.call_id, "invalid", "refused")
        return Failure(call.call_id, "content_filter", "filtered") if call.model == "other" else outcome

    lost = make_analysis(
        limit=3, models=[{"name": "other", "engine": "scripted", "model": "equal"}], change=mostly_lost
    )
    facts = replace(run_facts, run_id=None, git_commit=None, exit_code=None)
    page = own_words(page_of(lost, tmp_path, facts))
    assert "no request has a judged reply in both conditions" in page
    assert not re.search(r"\b(None|NaN|nan|inf|null)\b", page)


def test_a_null_that_would_be_printed_is_refused(analysis: Analysis, tmp_path: Path, run_facts: RunFacts) -> None:
    with pytest.raises(ValueError, match="would print None"):
        write_report(analysis, tmp_path, run_facts=replace(run_facts, command=None))  # type: ignore[arg-type]


def test_every_text_of_a_model_is_escaped(hostile_analysis: Analysis, tmp_path: Path, run_facts: RunFacts) -> None:
    page = page_of(hostile_analysis, tmp_path, run_facts)
    assert not re.search(r"<(script|img|iframe|a)\b", page)
    assert "&lt;script&gt;" in page
    assert "{{ 7*7 }}" in page


def test_the_page_forbids_scripts_and_the_network(analysis: Analysis, tmp_path: Path, run_facts: RunFacts) -> None:
    page = page_of(analysis, tmp_path, run_facts)
    assert "default-src 'none'" in page
    assert "script-src" not in page
    assert not re.search(r'(?:src|href)="(?!#|data:,)', page)


def test_figures_are_stored_beside_the_page(analysis: Analysis, tmp_path: Path, run_facts: RunFacts) -> None:
    page_of(analysis, tmp_path, run_facts)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "gap.svg", "outcomes.svg", "report.html",
    ]  # fmt: skip


def test_agreement_of_two_compliance_judges_is_counted(analysis: Analysis, tmp_path: Path, run_facts: RunFacts) -> None:
    labels = analysis.verdicts.filter(pl.col("model") == "toy").pivot("judge", index="trial", values="label")
    same = int((labels["compliance"] == labels["rules"]).sum())
    pairs = [pair for pair in analysis.judge_pairs if pair.model == "toy"]
    assert [(pair.both_yes + pair.both_no, pair.replies) for pair in pairs if pair.kind == "compliance"] == [(same, 24)]
    page = page_of(analysis, tmp_path, run_facts)
    assert "Agreement of the judges" in page
    assert f"{percent(same / 24)}</td>" in page


def test_the_page_names_versions_digests_and_prices(analysis: Analysis, tmp_path: Path, run_facts: RunFacts) -> None:
    page = page_of(analysis, tmp_path, run_facts)
    for word in (
        analysis.snapshot.study_digest, *analysis.snapshot.templates.values(),
        *(judge.version for judge in analysis.snapshot.judges), "0123abc", "polars", "2.1.0",
        "$0 in, $0 out (free)", "temperature 0, at most 1,024 tokens",
    ):  # fmt: skip
        assert word in page


@pytest.mark.browser
def test_in_a_browser_no_script_runs_and_everything_shows(
    hostile_analysis: Analysis, tmp_path: Path, run_facts: RunFacts, chromium: Any
) -> None:
    from selenium.webdriver.common.by import By

    path = write_report(hostile_analysis, tmp_path, run_facts=run_facts)
    chromium.get(path.as_uri())
    for details in chromium.find_elements(By.CSS_SELECTOR, "details.transcript > summary"):
        details.click()
    assert chromium.title == "hostile · afgap report"
    assert not chromium.find_elements(By.CSS_SELECTOR, "script, iframe, main img, main a")
    figures = chromium.find_elements(By.CSS_SELECTOR, "figure svg")
    assert figures
    assert all(figure.is_displayed() and figure.size["width"] > 300 for figure in figures)
    tables = chromium.find_elements(By.CSS_SELECTOR, "table")
    assert len(tables) >= 5
    assert all(table.is_displayed() for table in tables)
    shown = chromium.find_elements(By.CSS_SELECTOR, "details.transcript[open]")
    assert len(shown) == 8
    assert "<script>document.title='owned'</script>" in shown[0].text
    assert chromium.get_log("browser") == []


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_page_follows_the_readers_theme(
    analysis: Analysis, tmp_path: Path, run_facts: RunFacts, chromium: Any, theme: str
) -> None:
    path = write_report(analysis, tmp_path, run_facts=run_facts)
    features = [{"name": "prefers-color-scheme", "value": theme}]
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    chromium.get(path.as_uri())

    def lightness(element: str, key: str) -> int:
        colour = chromium.execute_script(f"return getComputedStyle(document.querySelector('{element}')).{key}")
        return sum(int(each) for each in re.findall(r"\d+", colour)[:3])

    page, ink, figure = lightness("body", "backgroundColor"), lightness("body", "color"), lightness("svg", "color")
    assert figure == ink
    assert (page > 600 and ink < 200) if theme == "light" else (page < 200 and ink > 600)
