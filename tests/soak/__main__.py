"""Play rounds of all scenarios for some time: `python -m soak --seconds 600`."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter, defaultdict

from .playing import Verdict
from .remote import LostError
from .scenarios import SCENARIOS
from .stage import Stage

MOST_FAILURES = 5


def main() -> int:
    options = _options()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    started = time.monotonic()
    print(f"soak: seed {seed}, {options.seconds:g} s", flush=True)
    failures = 0
    totals: dict[str, Verdict] = defaultdict(Verdict)
    rounds: Counter[str] = Counter()
    while time.monotonic() < started + options.seconds and failures < MOST_FAILURES:
        try:
            with Stage() as stage:
                failures += _play_all(stage, options, seed, started, totals, rounds)
        except LostError as error:
            failures += 1
            print(f"FAILED: {error}", flush=True)
        if options.round is not None:
            break
    _report(totals, rounds)
    print(f"soak: {sum(rounds.values())} rounds, {failures} failures", flush=True)
    return 1 if failures else 0


def _play_all(stage, options, seed, started, totals, rounds):
    if stage.without_link:
        print(f"soak: without lossy, slow and resets: {stage.without_link}", flush=True)
    failures = _tell("warm-up", stage.warm_up())
    names = [name for name in stage.scenarios if not options.only or name in options.only]
    while time.monotonic() < started + options.seconds and failures < MOST_FAILURES:
        for name in names:
            number = options.round if options.round is not None else rounds[name]
            rounds[name] += 1
            at = time.monotonic()
            where = f"--seed {seed} --only {name} --round {number}"
            try:
                verdict = stage.play(name, f"{seed} {name} {number}")
            except LostError as error:
                raise LostError(f"{where}: {error}") from None
            took = time.monotonic() - at
            print(
                f"{time.monotonic() - started:6.1f} s  {name:12} {number:4}  {took:5.2f} s  "
                f"{verdict.received / 1e6:6.1f} MB  {verdict.messages:4} messages  "
                f"{verdict.asked.total():4} interruptions  {_errors(verdict.errors)}",
                flush=True,
            )
            _add(totals[name], verdict)
            failures += _tell(where, verdict.wrong)
            if time.monotonic() > started + options.seconds and all(rounds[n] for n in names):
                break
        if options.round is not None:
            break
    return failures + _tell("in the end", stage.judge_all())


def _tell(where: str, wrong: list[str]) -> int:
    for text in wrong:
        print(f"FAILED: {where}: {text}", flush=True)
    return 1 if wrong else 0


def _add(total: Verdict, verdict: Verdict) -> None:
    total.flows += verdict.flows
    total.received += verdict.received
    total.messages += verdict.messages
    total.errors += verdict.errors
    total.asked += verdict.asked


def _report(totals: dict[str, Verdict], rounds: Counter[str]) -> None:
    for name, total in totals.items():
        print(
            f"{name:12} {rounds[name]:4} rounds  {total.flows:6} ends  "
            f"{total.received / 1e6:8.1f} MB  {total.messages:6} messages  "
            f"{total.asked.total():6} interruptions  {_errors(total.errors)}"
        )


def _errors(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "no errors"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long (600)")
    parser.add_argument("--seed", type=int, help="of all that is left to chance")
    parser.add_argument("--only", action="append", choices=list(SCENARIOS), help="these scenarios")
    parser.add_argument("--round", type=int, help="only this round of them")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
