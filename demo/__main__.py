"""`python -m demo`: exit code 0 only if pinwire delivered every object byte for byte."""

import faulthandler
import sys

from . import one_host, ours, theirs
from .items import build
from .receiver import Receiver
from .report import show, verdict

# The last resort, should a library block its event loop: the demo ends within a minute.
DEMO_SECONDS = 55


def main() -> int:
    faulthandler.dump_traceback_later(DEMO_SECONDS, exit=True)
    with Receiver() as receiver:
        items = build()
        journey = ours.run(items, receiver)
        others = [
            row
            for sender in theirs.SENDERS
            for row in theirs.run(sender, items, receiver, journey.congestion)
        ]
    show([*journey.rows, *others], journey.congestion)
    print(verdict(journey.rows, others, journey.problem))
    line, exact = one_host.run()
    print(line)
    return 0 if exact and all(row.delivery.exact for row in journey.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
