"""The command line: `afgap …`, the same as `python -m ray_jobs …`. Thin: every command is a call to its module.

Exit codes: 0 complete · 1 a defect of ours · 2 the input is wrong · 3 calls still owed · 4 budget reached.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from core.errors import EngineError, InputError, RunError, StoreError

ROOT = Path(__file__).resolve().parents[1]

STUDY = click.argument("study")
WORKSPACE = click.option(
    "--workspace",
    type=click.Path(path_type=Path),
    default=Path("workspace"),
    show_default=True,
    help="Folder of the results.",
)
SET = click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a value of the study file.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print facts as one JSON object.")
QUIET = click.option("--quiet", is_flag=True, help="Print errors only.")
LIMIT = click.option("--limit", type=click.IntRange(min=1), help="First N requests only; the result is marked partial.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="afgap", message="%(version)s")
def cli() -> None:
    """Does a language model behave differently when it infers that it is being trained?

    STUDY is a study file, or the name of a study that the workspace holds.
    """


@cli.command()
@STUDY
@WORKSPACE
@SET
@LIMIT
@JSON
@click.option("--show-prompts", is_flag=True, help="Print one rendered prompt per cell.")
def plan(**options: Any) -> int:
    """Calls, tokens, cost and time, before anything is spent."""
    from ray_jobs.plan_command import plan_study

    return plan_study(**options)


@cli.command("compare-prompts")
@click.argument("a")
@click.argument("b")
@WORKSPACE
@JSON
def compare_prompts(**options: Any) -> int:
    """What differs between the prompts of A and B, and between the settings around them.

    A and B are template folders, study files or names of stored studies; bundled stands for our own templates.
    """
    from ray_jobs.compare_command import compare_command

    return compare_command(**options)


@cli.command()
@STUDY
@WORKSPACE
@SET
@LIMIT
@JSON
@QUIET
@click.option("--address", help="Ray cluster to run on, such as auto; default: a local Ray.")
@click.option("--retry-failed", is_flag=True, help="Open calls again that ended as invalid, poison or filtered.")
@click.option("--upgrade", is_flag=True, help="Go on although the study has changed; unchanged calls are kept.")
def run(**options: Any) -> int:
    """Make the calls that are owed, judge, analyse, log, report. The same command resumes."""
    from ray_jobs.run_command import run_command

    return run_command(**options)


@cli.command()
@click.argument("study", required=False)
@WORKSPACE
@JSON
def status(**options: Any) -> int:
    """What is stored and what is owed, per model and stage; without STUDY, of every study."""
    from ray_jobs.status_command import show_status

    return show_status(**options)


@cli.command()
@STUDY
@WORKSPACE
def pause(**options: Any) -> int:
    """Let a run that is going on send nothing more until `unpause`; what is in flight lands."""
    from ray_jobs.control_command import set_state

    return set_state(**options, state="paused")


@cli.command()
@STUDY
@WORKSPACE
def unpause(**options: Any) -> int:
    """Let a paused run go on."""
    from ray_jobs.control_command import set_state

    return set_state(**options, state="running")


@cli.command()
@STUDY
@WORKSPACE
def cancel(**options: Any) -> int:
    """End a run once what is in flight has landed, as Ctrl-C does; `run` goes on later."""
    from ray_jobs.control_command import set_state

    return set_state(**options, state="cancelled")


@cli.command()
@STUDY
@click.argument("lane", required=False)
@click.argument("changes", nargs=-1, metavar="[LIMIT=NUMBER]...")
@WORKSPACE
@JSON
def limits(**options: Any) -> int:
    """The limits that a run keeps to; with LANE and LIMIT=NUMBER (or default), change them until it ends.

    LIMIT is rpm, rpd, tpm, input_tpm, output_tpm or concurrency; NUMBER may be none.
    """
    from ray_jobs.control_command import show_or_set_limits

    return show_or_set_limits(**options)


SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)


@cli.command()
@click.option("--requests", type=click.IntRange(min=1), help="Requests, where they are given.")
@click.option("--gap", type=SHARE, help="Gap to be found, as a fraction; without it the smallest one is answered.")
@click.option("--power", type=SHARE, help="Probability of finding it; default 0.8, answered if the others are given.")
@click.option(
    "--reverse",
    type=click.FloatRange(0, 0.5),
    default=0.01,
    show_default=True,
    help="Share of requests that comply in the other condition only.",
)
@click.option("--alpha", type=click.FloatRange(0, 0.5, min_open=True, max_open=True), default=0.05, show_default=True)
@click.option("--models", type=click.IntRange(min=1), default=1, show_default=True, help="Models of the study (Holm).")
@click.option("--repeats", type=click.IntRange(1, 1000), default=1, show_default=True, help="Samples per request.")
@click.option("--margin", type=SHARE, default=0.05, show_default=True, help="Margin of NO_GAP.")
@JSON
def power(**options: Any) -> int:
    """How many requests a gap takes, what they can find, or with which power; and what NO_GAP takes."""
    from ray_jobs.power_command import power_command

    return power_command(**options)


@cli.command()
@STUDY
@WORKSPACE
@JSON
def analyse(**options: Any) -> int:
    """Rates, gaps and decisions from what is stored; needs no model and no Ray."""
    from ray_jobs.read_commands import analyse_command

    return analyse_command(**options)


@cli.command()
@STUDY
@WORKSPACE
@QUIET
def report(**options: Any) -> int:
    """Write report.html and log to MLflow again from what is stored."""
    from ray_jobs.read_commands import report_command

    return report_command(**options)


@cli.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--study", required=True, help="Name of the study that it makes or extends.")
@WORKSPACE
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Set a value of judges or analysis.")
@JSON
@QUIET
def import_file(**options: Any) -> int:
    """Bring in transcripts or labels from elsewhere and analyse them; the same file again changes nothing.

    FILE is a .jsonl or .parquet file, or a log of Inspect (.eval or .json).
    """
    from ray_jobs.import_command import import_command

    return import_command(**options)


@cli.command()
@STUDY
@WORKSPACE
@click.option("--to", "folder", type=click.Path(path_type=Path), required=True, help="Folder for the Parquet files.")
def export(**options: Any) -> int:
    """Write the tables as Parquet."""
    from ray_jobs.read_commands import export_command

    return export_command(**options)


@cli.command()
@click.argument("study", required=False)
@JSON
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the table of docs/studies.md.")
def studies(**options: Any) -> int:
    """The studies that come with afgap: what each asks, its calls, tokens and cost; STUDY: all of one."""
    from ray_jobs.studies_command import show_studies

    return show_studies(**options)


@cli.command()
@click.argument("model", required=False)
@JSON
def models(**options: Any) -> int:
    """The model catalogue: ids, prices, context lengths, what each can do, whether it is served; MODEL: all of one."""
    from ray_jobs.models_command import show_models

    return show_models(**options)


@cli.command()
@click.argument("study", required=False)
@WORKSPACE
@JSON
def verify(**options: Any) -> int:
    """Is the store whole: every planned call once, every digest and id, every file; without STUDY, of every study."""
    from ray_jobs.verify_command import verify_command

    return verify_command(**options)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; a wrong input is one message on stderr and no traceback."""
    _refuse_foreign_core()
    try:
        return int(cli.main(args=arguments, prog_name="afgap", standalone_mode=False) or 0)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except (InputError, EngineError) as error:
        return _complain(error, code=2)
    except (StoreError, RunError) as error:
        return _complain(error, code=3)
    except (KeyboardInterrupt, click.Abort):
        return _complain("stopped: what was stored is kept, the same command goes on", code=3)
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away, as `| head` does
        return 0


def _complain(problem: object, *, code: int) -> int:
    click.echo(f"error: {problem}", err=True)
    return code


def _refuse_foreign_core() -> None:
    """A stray top-level package `core` in site-packages would win over ours under a console script."""
    import core

    found = Path(core.__file__ or "").resolve()
    if ROOT not in found.parents:
        sys.exit(f"error: the package `core` was found at {found}, not in {ROOT}: run `python -m ray_jobs` from {ROOT}")
