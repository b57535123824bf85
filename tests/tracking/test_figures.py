"""Figures say what the tables say, the same way every time."""

import re
import subprocess
import sys
from collections import Counter
from xml.etree import ElementTree

import matplotlib

from core.analyse.analysis import Analysis
from tracking.figures import INK, draw_figures, for_page


def texts(svg: str) -> str:
    root = ElementTree.fromstring(svg.encode())
    return " | ".join("".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text"))


def test_the_same_analysis_gives_the_same_bytes(analysis: Analysis) -> None:
    assert [each.svg for each in draw_figures(analysis)] == [each.svg for each in draw_figures(analysis)]


def test_a_figure_holds_no_date_and_loads_nothing(analysis: Analysis) -> None:
    for drawing in draw_figures(analysis):
        assert "dc:date" not in drawing.svg
        links = [link for link in re.findall(r'(?:href|src)="([^"]*)"', drawing.svg) if not link.startswith("#")]
        assert not links


def test_outcomes_are_drawn_with_their_counts_as_text(analysis: Analysis) -> None:
    drawing = draw_figures(analysis)[0]
    said = texts(drawing.svg)
    assert drawing.name == "outcomes"
    assert said.count("n = 12") == 4
    for word in ("toy", "other", "free", "paid", "refusal, considering faking", "full compliance, faking"):
        assert word in said


def test_faking_is_hatched_so_that_greyscale_tells_it(analysis: Analysis) -> None:
    assert "<pattern" in draw_figures(analysis)[0].svg


def test_without_a_faking_judge_the_compliance_rate_is_drawn(make_analysis) -> None:
    drawing = draw_figures(make_analysis(judges={"compliance": {"model": "rules"}}))[0]
    assert drawing.name == "compliance"
    assert " of 12" in texts(drawing.svg)


def test_the_gap_figure_says_the_decision_in_words(analysis: Analysis) -> None:
    drawing = draw_figures(analysis)[-1]
    assert drawing.name == "gap"
    assert "can't tell, n = 12" in texts(drawing.svg)


def test_a_study_of_one_condition_has_no_gap_figure(make_analysis) -> None:
    one = make_analysis(grid={"condition": ["free"]}, judges={"compliance": {"model": "rules"}})
    assert [each.name for each in draw_figures(one)] == ["compliance"]


def test_in_a_page_figures_take_its_text_colour_and_share_no_id(analysis: Analysis) -> None:
    page = "".join(for_page(each) for each in draw_figures(analysis))
    assert INK not in page
    assert "currentColor" in page
    assert "<?xml" not in page
    ids = Counter(re.findall(r'\bid="([^"]*)"', page))
    assert [name for name, count in ids.items() if count > 1] == []
    assert set(re.findall(r"url\(#([^)]*)\)", page)) <= set(ids)


def test_drawing_leaves_matplotlib_as_it_was(analysis: Analysis) -> None:
    before = dict(matplotlib.rcParams)
    draw_figures(analysis)
    assert dict(matplotlib.rcParams) == before


def test_drawing_does_not_need_pyplot() -> None:
    program = "import sys, tracking.figures; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
