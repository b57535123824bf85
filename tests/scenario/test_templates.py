"""Templates: one pass, declared placeholders only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import TemplateError
from core.scenario.templates import Template, read_template, refuse_unresolved


def make_template(text, *declared):
    return Template("block.md", text, frozenset(declared))


def test_declared_placeholders_are_replaced_everywhere():
    assert make_template("{{lab}} and {{lab}}", "lab").fill({"lab": "Acme"}) == "Acme and Acme"


@given(st.text())
def test_inserted_text_is_never_looked_at_again(request_text):
    template = make_template("[{{request}}] {{lab}}", "request", "lab")
    hostile = "{{lab}} {{request}} \\1 \\g<0> $lab {lab} {0}" + request_text
    assert template.fill({"request": hostile, "lab": "Acme"}) == f"[{hostile}] Acme"


@pytest.mark.parametrize("text", ["{{tier}}", "{{ lab }}", "{{}}", "{{lab.name}}"])
def test_an_undeclared_placeholder_is_refused_by_file_and_name(text):
    with pytest.raises(TemplateError, match=r"block\.md: the placeholder .* is not declared: use one of lab"):
        make_template(text, "lab")


def test_a_declared_placeholder_without_a_value_is_refused():
    with pytest.raises(TemplateError, match=r"block\.md: the placeholder \{\{lab\}\} has no value"):
        make_template("{{lab}}", "lab").fill({})


@pytest.mark.parametrize("text", ["by {{lab}}", "by {{lab", "by lab}}"])
def test_what_looks_like_an_unfilled_placeholder_is_refused(text):
    with pytest.raises(TemplateError, match="two_tier/free: an unresolved placeholder"):
        refuse_unresolved(text, where="two_tier/free")


def test_single_braces_are_text():
    assert make_template("{lab} {'a': {}}").fill({}) == "{lab} {'a': {}}"


@pytest.mark.parametrize(
    ("content", "problem"), [(None, "can't be read"), (b"\xff\xfe", "not UTF-8"), (b" \n", "is empty")]
)
def test_a_template_file_that_is_missing_or_no_text_is_refused_by_name(tmp_path, content, problem):
    if content is not None:
        (tmp_path / "block.md").write_bytes(content)
    with pytest.raises(TemplateError, match=rf"block\.md: .*{problem}"):
        read_template(tmp_path, "block.md")
