"""The command line: `makespan train | evaluate | solve | render | bench | list`.

Arguments are parsed before anything heavy is imported, so that `--help` and misspelt options answer at once.
Nothing else in the suite writes to standard output.
"""

from __future__ import annotations

import argparse
import difflib
import logging
import math
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version

from makespan.envs.core.errors import MakespanError

Command = Callable[[argparse.Namespace], int]
LISTS = ("envs", "rules", "policies", "solvers", "instances", "presets", "pretrained")


class UsageError(MakespanError, ValueError):
    """A command line that makes no sense; the message says what was expected."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Its words; those of the process if None.

    Returns:
        Exit status: 0 if all is well, 1 if a result is invalid, 2 for a bad request, 130 if interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    if not arguments:
        complain(parser.format_help())
        return 2
    args, rest = parser.parse_known_args(arguments)
    args.rest = rest
    logging.basicConfig(format="%(message)s")
    logging.getLogger("makespan").setLevel(logging.DEBUG if args.debug else logging.INFO)
    try:
        if args.rest and not args.takes_more(args):
            raise UsageError(_unrecognised(args.rest[0], args.parser))
        status = _command(args.command)(args)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has gone, e.g. `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (MakespanError, OSError) as error:
        if args.debug:
            raise
        complain(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        complain("interrupted")
        return 130
    return status


def echo(text: str = "") -> None:
    """Write a line to standard output."""
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")


def complain(text: str) -> None:
    """Write a line to standard error."""
    sys.stderr.write(f"{text}\n")


def _command(name: str) -> Command:
    """The function behind a command; importing it is what loads the rest of the suite."""
    from makespan.agents.cli_commands import COMMANDS

    return COMMANDS[name]


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser = argparse.ArgumentParser(
        prog="makespan", description="Reinforcement learning for resource scheduling.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"makespan {_version()}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary, arguments in (
        ("train", "train an agent from a preset", _train_arguments),
        ("evaluate", "compare policies, rules and solvers on the same instances", _evaluate_arguments),
        ("solve", "solve one instance with a solver", _solve_arguments),
        ("render", "draw the schedule of a policy", _render_arguments),
        ("bench", "measure speed beside other implementations", _bench_arguments),
        ("list", "list what the suite knows", _list_arguments),
    ):
        command = subparsers.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            parents=[common],
            allow_abbrev=False,
            add_help=name != "train",  # which shows more than argparse knows
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(takes_more=_takes_nothing, parser=command)
        arguments(command)
    return parser


def _train_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "makespan train [--config PRESET] [--run DIR] [--resume] [--section.key VALUE ...]"
    parser.epilog = (
        "Any key of the config can be overridden, e.g. --seed 7 --ppo.learning-rate 3e-4, and entries of mappings\n"
        "set, e.g. --env.options.sgs append --ppo.shapes.0.parameters.num-jobs 10.\n"
        "Example: makespan train --config jobshop_quickstart.yaml --seed 7"
    )
    parser.add_argument("-h", "--help", action="store_true", help="show this and every key of the config")
    parser.add_argument("--config", metavar="PRESET", help="name of a preset, or path of a YAML file")
    parser.add_argument("--run", metavar="DIR", help="run folder (default: runs/NAME-seedSEED)")
    parser.add_argument("--resume", action="store_true", help="go on with the run in that folder")
    parser.add_argument("--no-tensorboard", action="store_true", help="write no TensorBoard events")
    parser.set_defaults(takes_more=lambda args: True)


def _evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Policies: a rule (spt), in another mode of the environment (spt@active), the best of N (spt*32);\n"
        "random; portfolio; a solver or registered policy with its options (cp_sat[time_limit=10]);\n"
        "a run folder or checkpoint (runs/x); pretrained.\n"
        "Example: makespan evaluate makespan/JobShop-v0 --policies spt mwkr pretrained --instances ft06"
    )
    parser.add_argument("env_id", metavar="ENV_ID", help="environment, e.g. makespan/JobShop-v0")
    parser.add_argument("--policies", nargs="+", required=True, metavar="P", help="what to compare")
    parser.add_argument("--samples", type=_positive, nargs="+", default=[], metavar="N",
                        help="also take the best of N schedules of each rule and trained policy")  # fmt: skip
    parser.add_argument("--instances", nargs="+", default=[], metavar="I", help="names, sets, globs or files")
    _generator_arguments(parser)
    parser.add_argument(
        "--episodes", type=_positive, default=100, metavar="N", help="generated instances (100)"
    )
    parser.add_argument("--seed", type=_whole, default=0, help="of everything random (0)")
    parser.add_argument(
        "--time-limit", type=_seconds, metavar="S", help="seconds a solver has for an instance"
    )
    parser.add_argument("--json", metavar="F", help="write rows and summary as JSON")
    parser.add_argument("--csv", metavar="F", help="write rows as CSV")
    parser.add_argument("--plots", metavar="DIR", help="write a report with plots, and the data")


def _solve_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Example: makespan solve makespan/JobShop-v0 ft10 --time-limit 10 --gantt ft10.html"
    parser.add_argument("env_id", metavar="ENV_ID", help="environment, e.g. makespan/JobShop-v0")
    parser.add_argument("instance", metavar="INSTANCE", help="name or file of an instance")
    parser.add_argument("--solver", help="see `makespan list solvers` (default: the family's first)")
    parser.add_argument("--time-limit", type=_seconds, default=60.0, metavar="S", help="seconds (60)")
    parser.add_argument("--seed", type=_whole, default=0, help="of the solver (0)")
    parser.add_argument(
        "--workers", type=_positive, metavar="N", help="parallel workers, where the solver has any"
    )
    parser.add_argument("--out", metavar="F", help="write the schedule: .json or .csv")
    parser.add_argument("--gantt", metavar="F", help="draw it: .html, .png, .pdf, .svg, .gif, or - for text")


def _render_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Example: makespan render makespan/JobShop-v0 --policy spt --instance ft06 --out -"
    parser.add_argument("env_id", metavar="ENV_ID", help="environment, e.g. makespan/JobShop-v0")
    parser.add_argument("--policy", required=True, metavar="P", help="as for `makespan evaluate`")
    parser.add_argument("--instance", metavar="I", help="name or file (default: a generated one)")
    _generator_arguments(parser)
    parser.add_argument("--seed", type=_whole, default=0, help="of everything random (0)")
    parser.add_argument("--time-limit", type=_seconds, metavar="S", help="seconds a solver has")
    parser.add_argument("--out", default="-", metavar="F",
                        help=".html, .png, .pdf, .svg, .gif, or - for text (the default)")  # fmt: skip
    parser.add_argument(
        "--picture", metavar="NAME", help="one of the family's own pictures, where it has several"
    )


def _generator_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--generator", metavar="G", help="distribution of generated instances")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE",
                        help="parameters of the generator, e.g. num_jobs=10")  # fmt: skip
    parser.add_argument("--option", nargs="+", default=[], metavar="NAME=VALUE",
                        help="keywords of the environment for every policy, e.g. skip_forced=false")  # fmt: skip


def _bench_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Further options are handed to the family's benchmark."
    parser.add_argument("family", metavar="FAMILY", help="jobshop")
    parser.add_argument("--out", metavar="DIR", help="write the tables there")
    parser.set_defaults(takes_more=lambda args: True)


def _list_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="?", choices=LISTS, help="one list only; instances in full")


def _takes_nothing(args: argparse.Namespace) -> bool:
    return False


def _unrecognised(word: str, parser: argparse.ArgumentParser) -> str:
    known = [option for action in parser._actions for option in action.option_strings]
    near = difflib.get_close_matches(word.partition("=")[0], known, n=3, cutoff=0.5)
    return f"unrecognised argument {word}" + (f"; did you mean {', '.join(near)}?" if near else "")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a whole number >= 1")
    return int(text)


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}; expected a whole number >= 0")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}; expected seconds > 0")
    return seconds


def _version() -> str:
    try:
        return version("makespan")
    except PackageNotFoundError:
        return "0+unknown"


if __name__ == "__main__":
    sys.exit(main())
