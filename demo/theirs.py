"""The others: the same objects, each on a connection of its own, so that a loss has an owner."""

from collections.abc import Iterator, Sequence

from benches.delivery.case import Delivery, attempt
from benches.delivery.senders import OTHERS, Sender

from .items import Item
from .memory import PeakMemory
from .receiver import Receiver
from .report import Row

SENDERS = [sender for sender in OTHERS if sender.library in {"asyncio", "uvloop", "trio"}]


def run(
    sender: Sender, items: Sequence[Item], receiver: Receiver, congestion: bytes
) -> Iterator[Row]:
    """A row for each object; `congestion` is the TCP congestion control, the same for all."""
    for index, item in enumerate(items):
        address = receiver.ask(index)
        with PeakMemory() as memory:
            tried = attempt(sender, address, item.payload, receiver.progress, congestion)
        delivery = Delivery(item.nbytes, tried, receiver.answer())
        copies = None if memory.growth is None else round(memory.growth / item.nbytes)
        yield Row(sender.library, sender.call, item.name, delivery, copies)
