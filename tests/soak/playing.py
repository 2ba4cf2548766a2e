"""One round while it is played, and what the accounts of its ends come to."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .ledger import Account, Way, judge, undocumented
from .remote import ROUND_SECONDS, LostError
from .scenarios import ROLES

if TYPE_CHECKING:
    from .remote import Remote
    from .scenarios import Round


@dataclass
class Verdict:
    """What became of a round."""

    wrong: list[str] = field(default_factory=list)
    flows: int = 0
    received: int = 0
    messages: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)

    def add(self, account: Account) -> None:
        self.flows += 1
        self.received += account.received.right
        self.messages += len(account.received.messages)
        self.errors.update(account.errors)
        self.asked.update(account.asked)


class Playing:
    """One round while it is played."""

    def __init__(self, made: Round, seed: str, cast: dict[str, Remote], proxy: Remote) -> None:
        self._made, self._seed, self._cast, self._proxy = made, seed, cast, proxy
        self._deadline = time.monotonic() + ROUND_SECONDS

    def play(self) -> Verdict:
        made, listener, caller = self._made, self._cast["listen"], self._cast["connect"]
        listener.tell("run", seed=self._seed, **made.settings("listen"))
        addresses = listener.heard("listening", self._deadline)
        if made.through_proxy:
            addresses = self._bridged(addresses)
        made.flows = [
            replace(flow, address=address)
            for flow, address in zip(made.flows, addresses, strict=True)
        ]
        caller.tell("run", seed=self._seed, **made.settings("connect"))
        answers = self._answers()
        ways = self._ways()
        return self._judged(answers, ways)

    def _bridged(self, addresses: list[str]) -> list[str]:
        bridges = [
            {"number": flow.number, "to": to, "sizes": _sizes(flow)}
            for flow, to in zip(self._made.flows, addresses, strict=True)
        ]
        return self._proxy.ask("open", seed=self._seed, bridges=bridges)

    def _answers(self) -> dict[str, Any]:
        """What each role says in the end; nothing of one that was killed."""
        made = self._made
        answers: dict[str, Any] = {}
        kill_at = self._deadline
        while len(answers) < len(ROLES):
            if time.monotonic() > self._deadline:
                silent = [self._cast[role].name for role in ROLES if role not in answers]
                raise LostError(f"no end of the round in {ROUND_SECONDS} s: {silent}")
            if made.killed and made.killed not in answers and time.monotonic() >= kill_at:
                self._cast[made.killed].kill()
                answers[made.killed] = None
                self._give_up([flow.number for flow in made.flows])
            for role in ROLES:
                message = self._cast[role].pending()
                if message is None or (role == made.killed and role in answers):
                    continue
                if "connected" in message:
                    moment = random.Random(self._seed).random() * 0.5
                    kill_at = min(kill_at, time.monotonic() + moment)
                elif "unconnected" in message:
                    self._give_up([message["unconnected"]])
                elif "done" in message:
                    answers[role] = message["done"]
                else:
                    said = "".join(self._cast[role].errors)
                    raise LostError(f"{self._cast[role].name} has ended: {message} {said}")
        return answers

    def _give_up(self, flows: list[int]) -> None:
        self._cast["listen"].tell("give_up", flows=flows)

    def _ways(self) -> dict[int, list[Way]]:
        if not self._made.through_proxy:
            return {flow.number: [Way(), Way()] for flow in self._made.flows}
        told = self._proxy.ask("close")
        assert not told["wrong"], told["wrong"]
        return {
            one["flow"]: [
                Way(way["passed"], way["exact"], way["spoilt"]) for way in one["directions"]
            ]
            for one in told["accounts"]
        }

    def _judged(self, answers: dict[str, Any], ways: dict[int, list[Way]]) -> Verdict:
        verdict = Verdict()
        accounts: dict[str, dict[int, Account]] = {}
        for role, answer in answers.items():
            if answer is None:
                continue
            verdict.wrong += [f"{role}: {text}" for text in answer["wrong"]]
            told = [Account.of(account) for account in answer["accounts"]]
            accounts[role] = {account.flow: account for account in told}
            for account in told:
                verdict.add(account)
        for flow in self._made.flows:
            ends = [accounts.get(role, {}).get(flow.number) for role in ROLES]
            wrong = [
                f"{role}: {text}"
                for role, end in zip(ROLES, ends, strict=True)
                if end is not None
                for text in [
                    *end.wrong,
                    *(f"undocumented: {error}" for error in undocumented(end, self._made.allowed)),
                ]
            ]
            for (sender, receiver), way in zip((ends, ends[::-1]), ways[flow.number], strict=True):
                wrong += judge(sender, receiver, way, messages=flow.is_channel)
            if wrong:
                verdict.wrong += [f"flow {flow.number}: {text}" for text in wrong]
                told = "\n    ".join(map(str, [flow, *ends, *ways[flow.number]]))
                verdict.wrong.append(f"what was told:\n    {told}")
        return verdict


def _sizes(flow: Any) -> tuple[int, int]:
    """Bytes that are about to pass in each direction."""
    unit = flow.largest // 6 if flow.is_channel else 1
    return flow.forward * unit, flow.backward * unit
