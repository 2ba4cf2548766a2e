"""All processes of a soak, and one round after another played by them."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from . import hosts
from .playing import Playing
from .remote import LostError, Remote
from .scenarios import ON_LINK, ROLES, SCENARIOS, Maker

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from .playing import Verdict
    from .scenarios import Round

SETTLING_SECONDS = 5
PASSING_SECONDS = 15
"""After which threads that were idle have ended."""
WARMING = ["asyncio", "uvloop", "blocking"]


class Stage:
    """Three parties: two beside each other, and one on the other host if there can be one."""

    def __init__(self, *, with_link: bool = True) -> None:
        self.without_link = hosts.missing() if with_link else "not asked for"
        self._stack = ExitStack()
        self._link: hosts.Link | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            if not self.without_link:
                self._link = stack.enter_context(hosts.Link())
            near = self._link.near.inside if self._link else []
            self._near_inside = near
            self._parties = {
                "connect": Remote("near", inside=near),
                "listen": Remote("beside", inside=near),
            }
            self._proxy = Remote("proxy", "proxy", inside=near)
            if self._link:
                self._parties["far"] = Remote("far", inside=self._link.far.inside)
            for remote in [*self._parties.values(), self._proxy]:
                stack.callback(remote.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def scenarios(self) -> list[str]:
        return [name for name in SCENARIOS if self._link or name not in ON_LINK]

    def warm_up(self) -> list[str]:
        """Have every process do once what makes it grow once."""
        wrong = []
        for number, face in enumerate(WARMING):
            for name in ("calm", "slow") if self._link else ("calm",):
                made = SCENARIOS["calm"](Maker(random.Random(number), f"warm {number}"))
                if name == "slow":
                    maker = Maker(random.Random(number), f"warm far {number}")
                    made = maker.round(8, far=True)
                made.faces = dict.fromkeys(ROLES, face)
                wrong += self._play(made, f"warm {name} {number}", name).wrong
        return wrong

    def play(self, name: str, seed: str) -> Verdict:
        """One round: a function of its name and seed, but for the order in which things happen."""
        made = SCENARIOS[name](Maker(random.Random(seed), seed))
        verdict = self._play(made, seed, name)
        for remote in self._lasting(made, name):
            verdict.wrong += [f"{remote.name}: {text}" for text in self._settled(remote)]
        return verdict

    def judge_all(self) -> list[str]:
        """What has grown over all rounds, and does not go away in time."""
        wrong = []
        for remote in self._parties.values():
            _, left = _at_rest(remote, PASSING_SECONDS, passing=0)
            wrong += [f"{remote.name}: {text}" for text in left]
        return wrong + [
            f"{remote.name}: {text}"
            for remote in self._parties.values()
            for text in remote.growth.judge_memory()
        ]

    def _cast(self, made: Round, name: str) -> dict[str, Remote]:
        cast = {role: self._parties[role] for role in ROLES}
        if name in ON_LINK:
            cast["listen"] = self._parties["far"]
        if made.killed:
            cast[made.killed] = Remote("victim", inside=self._near_inside)
        return cast

    def _lasting(self, made: Round, name: str) -> list[Remote]:
        where = {"listen": "far"} if name in ON_LINK else {}
        return [self._parties[where.get(role, role)] for role in ROLES if role != made.killed]

    def _settled(self, remote: Remote) -> list[str]:
        """What a process has too much of once it has come to rest."""
        counts, wrong = _at_rest(remote, SETTLING_SECONDS)
        remote.growth.remember(counts)
        if remote.errors:
            wrong.append("it says: " + "".join(remote.errors))
            remote.errors.clear()
        return wrong

    def _play(self, made: Round, seed: str, name: str) -> Verdict:
        cast = self._cast(made, name)
        try:
            if made.spoil and self._link:
                getattr(self._link, made.spoil)(random.Random(seed))
            return Playing(made, seed, cast, self._proxy).play()
        except LostError as error:
            stacks = "\n".join(remote.stacks() for remote in cast.values())
            raise LostError(f"{error}\n{stacks}") from None
        finally:
            if self._link:
                self._link.clear()
            if made.killed:
                cast[made.killed].kill()
                cast[made.killed].close()


def _at_rest(remote: Remote, seconds: float, **limits: int) -> tuple[dict[str, Any], list[str]]:
    """What a process has once that is right, or the time is over; and what is wrong with it."""
    deadline = time.monotonic() + seconds
    while (wrong := remote.growth.judge(counts := remote.count(), **limits)) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.05)  # another process tells nobody that a thread of its has ended
    return counts, wrong
