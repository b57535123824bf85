"""What is said of a run."""

import subprocess
from pathlib import Path

from tracking.run_facts import collect_run_facts, git_commit, shown_command


def test_versions_of_installed_packages_are_collected() -> None:
    facts = collect_run_facts(run_id="r", seconds=3.0, exit_code=0)
    assert {"python", "polars", "mlflow"} <= set(facts.versions)
    assert facts.started_at.endswith("UTC")


def test_a_command_shows_no_folder_of_the_machine() -> None:
    assert shown_command(["/opt/venv/bin/afgap", "run", "a b.yaml"]) == "afgap run 'a b.yaml'"
    assert shown_command(["/opt/site/ray_jobs/__main__.py", "plan"]) == "python -m ray_jobs plan"


def test_a_folder_without_git_has_no_commit(tmp_path: Path) -> None:
    assert git_commit(tmp_path) is None


def test_a_folder_inside_another_checkout_does_not_take_its_commit(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        names = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", str(tmp_path), *names, *arguments], check=True, capture_output=True)

    git("init")
    git("commit", "--allow-empty", "-m", "first")
    inside = tmp_path / "site-packages"
    inside.mkdir()
    assert git_commit(inside) is None
    assert git_commit(tmp_path) is not None


def test_changed_files_are_marked(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        names = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", str(tmp_path), *names, *arguments], check=True, capture_output=True)

    git("init")
    (tmp_path / "f").write_text("1")
    git("add", "f")
    git("commit", "-m", "first")
    (tmp_path / "f").write_text("2")
    commit = git_commit(tmp_path)
    assert commit is not None
    assert commit.endswith("+changes")
