"""docs/benchmarks.md: the targets, the plots, a table a workload, the settings, how to read it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..results import Spread
from ..row import Row
from .durations import duration
from .lines import Line, Table
from .plots import Plot, decimal_words, size_words
from .style import ours

COMMAND = "make bench"
VERDICTS = {True: "met", False: "**missed**", None: "-"}

QUICK = """\
**This was a quick run, which shows that the benchmark works and nothing else.**

"""

READING = """\
## How to read this

- Compare within one table only. All contestants of a round run one after another, in turns, on the
  same machine; a ratio is taken within a round, and the table shows the median of these ratios and
  their range over the rounds. Figures in GB/s or microseconds are this machine's, and on another
  day they differ by more than many of the differences shown here.
- The machine is small and shared: where two ranges overlap, call it a draw.
- *Share of C* is the speed relative to a loop of plain system calls in C: 1.00 is as fast.
  *Share of pinwire* is the same against the quickest of pinwire's faces in that round.
- A message of bulk is timed from before the send until the server has said, by one byte, that the
  whole of it is in its memory. What arrived is compared byte by byte outside of that time.
- Arrays as a message, or as an object, come with a header that says what they are. A channel stands
  there beside its bare stream, which moves the same bytes between sides that know how many they
  are; what is called *recv* receives into fresh memory, which the kernel has to clear.
- What stands on one host goes from a NumPy array of one process into one of another that is there
  already: memory that NumPy makes by itself, touched, used again, in huge pages from 4 MiB on
  unless it says pages of 4 KiB; each connection has moved one such array before. Nobody is held to
  a socket: *payload by* says what a channel took, *socket* is the same channel with
  `same_host="off"`, and *unix* one over a unix socket where the others have TCP. *memcpy* is a
  thread that copies such an array within its process and tells nobody. iceoryx2 lends memory to
  those who make their data in it; from any array, into any array, it has to copy twice. *Share of
  C* is there that of the quicker of the two C loops.
- Dask's rows are those of whole clusters, which all idle but for the one whose turn it is. *An
  array between workers* is a task on one worker that needs the array that another has made: from
  its submission until the client has the result, with *the transfer* alone by the receiver's log.
  A batch is by the task. The memory there is all that a worker's process has, with the interpreter
  and the array, and its target has no allowance: 1.01 is missed. In a shuffle the time is that of
  the shuffle and of adding up what it gives, from partitions that the workers have already.
- CPU seconds per GB are those of the whole process, user and system; memory is the peak above the
  arrays that either side has to hold anyway.
- Everyone runs with the best settings that we know of; they stand above, to be corrected.
"""


def page(
    results: Mapping[str, Any],
    targets: Sequence[Row],
    tables: Sequence[Table],
    plots: Sequence[Plot],
    when: str,
) -> str:
    parts = [_head(results, when), _targets(targets), _pictures(plots)]
    for environment in dict.fromkeys(table.environment for table in tables):
        parts.append(f"## Every figure: {environment}")
        parts += [_table(table) for table in tables if table.environment == environment]
    parts += [_micro(results), _settings(results), _skipped(results), READING]
    return "\n\n".join(part.rstrip() for part in parts if part) + "\n"


def targets_table(targets: Sequence[Row]) -> str:
    lines = ["| | target | measured | range | |", "|---|--:|--:|--:|---|"]
    lines += [
        f"| {_escape(row.text)} | {row.target} | {row.figure} | {row.range} | {VERDICTS[row.met]} |"
        for row in targets
    ]
    return "\n".join(lines)


def _head(results: Mapping[str, Any], when: str) -> str:
    machine = results.get("machine", {})
    facts = "\n".join(f"| {key.replace('_', ' ')} | {_flat(machine[key])} |" for key in machine)
    return (
        "# Benchmarks\n\n"
        f"Written by `{COMMAND}` on {when}; do not edit. pinwire beside the other ways to move"
        " bytes between two Python processes on one machine, all in one run.\n\n"
        f"{QUICK if results.get('quick') else ''}| | |\n|---|---|\n{facts}"
    )


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {part}" for key, part in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _targets(targets: Sequence[Row]) -> str:
    return f"## Targets\n\n{targets_table(targets)}" if targets else ""


def _pictures(plots: Sequence[Plot]) -> str:
    return "\n\n".join(f"![{plot.words}](benchmarks/{plot.file})" for plot in plots)


def _table(table: Table) -> str:
    columns = list(_columns(table))
    head = "| | " + " | ".join(name for name, _ in columns) + " |"
    rows = [
        f"| {_row_name(line)} | " + " | ".join(cell(line) for _, cell in columns) + " |"
        for line in table.lines
    ]
    rule = "|---|" + "--:|" * len(columns)
    return f"### {_title(table)}\n\n" + "\n".join([head, rule, *rows])


def _columns(table: Table) -> Iterator[tuple[str, Any]]:
    yield {"many": "a round"}.get(table.kind, "median"), lambda line: duration(line.time.median)
    lines = table.lines
    if any(line.tail for line in lines):
        yield "p99", lambda line: duration(line.tail.median) if line.tail else "-"
    if any(line.transfer for line in lines):
        yield "the transfer", lambda line: duration(line.transfer.median) if line.transfer else "-"
    if any(line.speed for line in lines):
        yield "GB/s", lambda line: f"{line.speed.median:.2f}" if line.speed else "-"
    if any(line.of_c for line in lines):
        yield "share of C", lambda line: _spread(line.of_c)
    if any(line.of_pinwire for line in lines):
        yield "share of pinwire", lambda line: _spread(line.of_pinwire)
    if any(line.of_memcpy for line in lines):
        yield "share of memcpy", lambda line: _spread(line.of_memcpy)
    if any(line.speed and line.cpu for line in lines):
        yield "CPU s/GB, client + server", _cpu
    if any(line.memory for line in lines):
        yield "peak MiB, client + server", _memory
    if any(line.worker_peaks for line in lines):
        yield "peak MiB, sender + receiver", _worker_peaks
    if any(line.carrier for line in lines):
        yield "payload by", lambda line: line.carrier or "-"


def _cpu(line: Line) -> str:
    return "-" if line.cpu is None else f"{line.cpu[0]:.2f} + {line.cpu[1]:.2f}"


def _memory(line: Line) -> str:
    if line.memory is None:
        return "-"
    # A process can also give memory back meanwhile.
    client, server = (max(0.0, nbytes) / 2**20 for nbytes in line.memory)
    return f"{client:.1f} + {server:.1f}"


def _worker_peaks(line: Line) -> str:
    if line.worker_peaks is None:
        return "-"
    return " + ".join(f"{nbytes / 2**20:.0f}" for nbytes in line.worker_peaks)


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    return f"{spread.median:.2f} ({spread.low:.2f}-{spread.high:.2f})"


def _row_name(line: Line) -> str:
    return _name(line.name) + ("" if line.correct else " (**wrong content**)")


def _name(name: str) -> str:
    return f"**{_escape(name)}**" if ours(name) else _escape(name)


def _escape(text: str) -> str:
    return re.sub(r"([|*_<])", r"\\\1", text)


def _title(table: Table) -> str:
    count, decimal = f"{table.workload['count']:,}", decimal_words(table.size)
    what = {
        "ping": f"Round trips of {size_words(table.size)}",
        "bulk": f"Messages of {size_words(table.size)}",
        "gather": "A header and 100 blocks of 64 KiB as one message",
        "many": f"{table.workload.get('connections')} connections at once",
        "beside": "Echo beside bulk on the same loop",
        "message-ping": f"Round trips of an array of {size_words(table.size)} as a message",
        "message-bulk": f"An array of {size_words(table.size)} as a message",
        "message-parts": "1,000 arrays of 4 KiB as one message",
        "message-memory": f"Memory for a message of {size_words(table.size)}, in new processes",
        "message-object": f"A DataFrame of {table.size / 1e6:g} MB as an object",
        "same-host": f"An array of {size_words(table.size)} on one host",
        "same-host-pages": f"An array of {size_words(table.size)} in pages of 4 KiB on one host",
        "same-host-memory": f"Memory for {size_words(table.size)} on one host, in new processes",
        "same-host-ping": f"Round trips of {size_words(table.size)} by channels on one host",
        "dask-transfer": f"Dask: an array of {decimal} between workers",
        "dask-shuffle": f"Dask: P2P shuffle of a DataFrame of {decimal}",
        "dask-batch": f"Dask: tasks that need {decimal} of another worker, {count} at once",
        "dask-ping": f"Dask: tasks that need {decimal} of another worker, one by one",
        "dask-tasks": f"Dask: {count} tasks that do nothing",
    }.get(table.kind, str(table.workload["name"]))
    buffers = table.workload.get("sockbuf")
    suffix = f", socket buffers of {size_words(buffers)}" if buffers else ""
    # There each contestant takes the way that its name says.
    if table.kind == "same-host" or table.kind.startswith("dask-"):
        return what
    return f"{what}, {'TCP' if table.transport == 'tcp' else 'unix socket'}{suffix}"


def _settings(results: Mapping[str, Any]) -> str:
    settings = results.get("settings", {})
    rows = [f"| {_name(name)} | {_escape(text)} |" for name, text in settings.items()]
    return "## Settings\n\n| contestant | how it ran |\n|---|---|\n" + "\n".join(rows)


def _micro(results: Mapping[str, Any]) -> str:
    micro = results.get("micro", {})
    parts = []
    for transport, figures in micro.get("ready_send_ns", {}).items():
        parts.append(_rounds_table(f"A 64 B send that need not wait, {transport}", figures, 1.0))
    if imports := micro.get("import_seconds"):
        parts.append(_rounds_table("Start of an interpreter that imports", imports, 1e9))
    return "\n\n".join(parts)


def _rounds_table(title: str, figures: Mapping[str, list[float]], unit: float) -> str:
    rows = []
    for name, values in figures.items():
        known = Spread.of(value * unit for value in values)
        if known is not None:
            cells = " | ".join(map(duration, (known.median, known.low, known.high)))
            rows.append(f"| {_name(name)} | {cells} |")
    head = "| | median | least | most |\n|---|--:|--:|--:|"
    return "\n".join([f"### {title}\n", head, *rows])


def _skipped(results: Mapping[str, Any]) -> str:
    reasons = [(name, "everything", why) for name, why in results.get("skipped", {}).items()]
    for failure in results.get("failures", []):
        where = f"{failure['workload']} {failure['transport']}, round {failure['round'] + 1}"
        reasons.append((failure["contestant"], where, failure["reason"]))
    if not reasons:
        return ""
    rows = ["| " + " | ".join(map(_escape, row)) + " |" for row in reasons]
    return "## Not measured\n\n| contestant | what | why |\n|---|---|---|\n" + "\n".join(rows)
