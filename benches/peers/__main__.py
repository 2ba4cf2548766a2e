"""`python -m benches.peers`: measure, and write results.json.

Exits with 1 if any content was wrong, or if a contestant of ours failed.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from . import micro, namespace, workloads
from .contestants import PINWIRE, Field, c_loop, collect
from .options import FILE, Options, parse
from .plan import Plan
from .progress import Progress, shown
from .rounds import SECONDS_OF_A_ROUND, Race

QUICK_SECONDS_OF_A_ROUND = 15.0
ROUNDS_OF_MICRO = 7
ROUNDS_OF_IMPORTS = 15


def main() -> int:
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    # One thread each is enough for what the benchmark itself does with numpy.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # As an interrupt does, so that no process of a contestant is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if options.inside is not None:
        with shown() as progress:
            return _measure_inside(options, options.inside, progress)
    return _measure_all(options)


def _measure_all(options: Options) -> int:
    """Everything, the main part in a namespace where one can be had; write the results."""
    prefix = namespace.command()
    control = namespace.in_use()
    own_network = f"the machine's own network, {control}"
    environment = own_network if prefix is None else namespace.INSIDE
    # What processes leave that are killed goes with it.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        part = Path(folder) / FILE
        arguments = ["--inside", environment, "--out", folder, *_passed_on(options)]
        command = [sys.executable, "-m", "benches.peers", *arguments]
        environ = os.environ | {"TMPDIR": folder}
        status = subprocess.run([*(prefix or []), *command], env=environ).returncode
        if not part.exists():
            return status or 1
        results = json.loads(part.read_text())
    with shown() as progress:
        if prefix is None:
            progress.say(f"no network namespace can be made here: measured in {own_network}")
        elif not options.quick and control != namespace.CONTROL:
            _race(
                options,
                _field(options, progress),
                workloads.outside(),
                own_network,
                results,
                progress,
            )
        path = options.out / FILE
        path.write_text(json.dumps(results, indent=1) + "\n")
        progress.say(f"written: {path}")
        return _verdict(results, progress)


def _measure_inside(options: Options, environment: str, progress: Progress) -> int:
    from .describe import machine

    field = _field(options, progress)
    results: dict[str, Any] = {
        "machine": machine(),
        "quick": options.quick,
        "settings": {entry.name: entry.contestant.settings for entry in field.entries},
        "families": {entry.name: entry.contestant.family for entry in field.entries},
        "skipped": field.skipped,
        "failures": [],
        "workloads": [],
        "micro": {},
    }
    plans = workloads.quick() if options.quick else workloads.full()
    _race(options, field, plans, environment, results, progress)
    if options.measures("micro"):
        rounds = 1 if options.quick else options.rounds or ROUNDS_OF_MICRO
        if "c_loop" not in field.skipped:
            results["micro"]["ready_send_ns"] = micro.ready_sends(rounds, progress.step)
        imports = 2 if options.quick else ROUNDS_OF_IMPORTS
        results["micro"]["import_seconds"] = micro.imports(imports, progress.step)
        progress.say("ready sends, import time")
    (options.out / FILE).write_text(json.dumps(results))
    return 0


def _field(options: Options, progress: Progress) -> Field:
    field = collect()
    reason = c_loop.build(options.out)
    if reason is not None:
        field.skipped["c_loop"] = reason
        field.entries[:] = [entry for entry in field.entries if entry.module != "c_loop"]
    for module, why in field.skipped.items():
        progress.say(f"skipped: {module}: {why}")
    field.entries[:] = [entry for entry in field.entries if options.admits(entry.name)]
    return field


def _race(
    options: Options,
    field: Field,
    plans: list[Plan],
    environment: str,
    results: dict[str, Any],
    progress: Progress,
) -> None:
    plans = [plan for plan in plans if options.measures(plan.workload.name)]
    entries = [
        entry
        for entry in field.entries
        if any(plan.invites(entry.name) and entry.contestant.takes(plan.workload) for plan in plans)
    ]
    seconds = QUICK_SECONDS_OF_A_ROUND if options.quick else SECONDS_OF_A_ROUND
    race = Race(entries, environment, seconds)
    try:
        race.start(progress.step)
        for plan in plans:
            measured = race.run(plan, options.rounds or plan.rounds, progress.step)
            if measured is not None:
                results["workloads"].append(measured)
                workload = plan.workload
                buffers = f", buffers {workload.sockbuf}" if workload.sockbuf else ""
                progress.say(f"{workload.name} {workload.transport}{buffers} in {environment}")
    finally:
        race.close()
    results["failures"] += race.failures


def _verdict(results: dict[str, Any], progress: Progress) -> int:
    wrong = [
        f"{name}, {entry['workload']['name']} {entry['workload']['transport']}"
        for entry in results["workloads"]
        for measured in entry["rounds"]
        for name, sides in measured.items()
        if not all(side.get("verified", True) for side in sides.values())
    ]
    for case in wrong:
        progress.say(f"wrong content: {case}")
    for failure in results["failures"]:
        progress.say("failed: {contestant}, {workload} {transport}: {reason}".format(**failure))
    ours = [f for f in results["failures"] if f["contestant"].startswith(PINWIRE)]
    missing = [module for module in results["skipped"] if module.startswith(PINWIRE)]
    return 1 if wrong or ours or missing else 0


def _passed_on(options: Options) -> list[str]:
    arguments = ["--quick"] if options.quick else []
    if options.only:
        arguments += ["--only", ",".join(sorted(options.only))]
    if options.contestants:
        arguments += ["--contestants", ",".join(sorted(options.contestants))]
    if options.rounds is not None:
        arguments += ["--rounds", str(options.rounds)]
    return arguments


if __name__ == "__main__":
    sys.exit(main())
