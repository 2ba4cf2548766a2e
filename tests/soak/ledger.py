"""What both ends of a flow say became of it, and whether that can be true together."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass
class Sent:
    """A direction, as its sender saw it."""

    delivered: int = 0
    """Bytes that calls reported, by what they returned or by the counts of their errors."""
    messages: list[tuple[int, bool]] = field(default_factory=list)
    """The numbers of those that were tried, in order, and whether the call returned."""
    end: str = ""
    """"done", or the error."""


@dataclass
class Received:
    """A direction, as its receiver saw it."""

    right: int = 0
    """Bytes that were those that had to come."""
    messages: list[int] = field(default_factory=list)
    """The numbers of those that came, in order: received, skipped or dropped on purpose."""
    end: str = ""
    """"eof", "last" (the message that says so), or the error."""


@dataclass
class Account:
    """What one end of a flow tells."""

    flow: int
    connected: str = ""
    """"yes", or the error."""
    sent: Sent = field(default_factory=Sent)
    received: Received = field(default_factory=Received)
    closed_early: bool = False
    """Whether this end was closed on purpose while calls were under way."""
    errors: dict[str, int] = field(default_factory=dict)
    """Those that interrupted calls without being asked for."""
    asked: dict[str, int] = field(default_factory=dict)
    """Those that were."""
    origins: list[str] = field(default_factory=list)
    """Where errors come from that no transfer of pinwire has signed."""
    wrong: list[str] = field(default_factory=list)
    """What this end alone could tell to be wrong."""

    def note(self, error: str, asked: bool) -> None:
        counts = self.asked if asked else self.errors
        counts[error] = counts.get(error, 0) + 1

    def __str__(self) -> str:
        sent, got = self.sent, self.received
        return (
            f"connected: {self.connected}; sent {sent.delivered} bytes {sent.messages[-4:]}, "
            f"{sent.end}; received {got.right} bytes {got.messages[-4:]}, {got.end}; closed early: "
            f"{self.closed_early}; errors {self.errors}, asked for {self.asked}"
            + "".join(["\n", *self.origins])
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def of(json: dict[str, Any]) -> Account:
        account = Account(**json)
        account.sent = Sent(**json["sent"])
        account.sent.messages = [(number, whole) for number, whole in account.sent.messages]
        account.received = Received(**json["received"])
        return account


@dataclass(frozen=True)
class Way:
    """What became of the bytes between the two ends, in one direction."""

    passed: int | None = None
    """Bytes that a proxy has handed on, at most; None without a proxy."""
    exact: bool = True
    """Whether it has handed on all of these."""
    spoilt: bool = False
    """Whether a proxy ended it before the sender did."""


def judge(
    sender: Account | None, receiver: Account | None, way: Way, *, messages: bool
) -> list[str]:
    """What cannot be true of one direction; an end that died tells nothing."""
    if receiver is None:
        return []
    got, sent = receiver.received, sender.sent if sender else None
    undisturbed = not (way.spoilt or receiver.closed_early or (sender and sender.closed_early))
    if messages:
        return [] if sent is None else _judge_messages(sent, got, undisturbed)
    limits = {"that the proxy passed": way.passed, "reported": sent.delivered if sent else None}
    wrong = []
    for what, limit in limits.items():
        if limit is not None and got.right > limit:
            wrong.append(f"{got.right} bytes received of {limit} {what}")
    # What was cut off on purpose ends where the proxy says; all else where the sender says.
    if way.spoilt and not receiver.closed_early:
        due = way.passed if way.exact else None
    else:
        due = sent.delivered if sent and undisturbed else None
    if got.end == "eof" and due is not None and got.right < due:
        wrong.append(f"the end of the stream after {got.right} of {due} bytes")
    return wrong


def _judge_messages(sent: Sent, got: Received, undisturbed: bool) -> list[str]:
    wrong = []
    tried = [number for number, _ in sent.messages]
    if sorted(set(got.messages)) != got.messages:
        wrong.append(f"messages out of order or twice: {got.messages}")
    if strange := set(got.messages) - set(tried):
        wrong.append(f"messages that nobody sent: {sorted(strange)}")
    if got.end == "last" or (got.end == "eof" and undisturbed):
        lost = {number for number, whole in sent.messages if whole} - set(got.messages)
        if lost:
            wrong.append(f"messages that were reported sent and never came: {sorted(lost)}")
    elif got.messages:
        newest = got.messages[-1]
        earlier = {number for number, whole in sent.messages if whole and number < newest}
        if lost := earlier - set(got.messages):
            wrong.append(f"messages that were left out: {sorted(lost)}")
    return wrong


def undocumented(account: Account, allowed: Collection[str]) -> list[str]:
    """Errors that nothing which was done to the flow explains."""
    return [error for error in account.errors if error not in allowed]
