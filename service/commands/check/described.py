"""Holds a queue as the broker describes it."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

WISH = "policy"


@dataclass(frozen=True, slots=True)
class DescribedQueue:
    """A queue as it works: its arguments and the policies upon it, of a broker of a version.

    `consumers` are those of the moment, which the management API tells late.
    """

    name: str
    told: Mapping[str, Any]
    version: str
    consumers: int = 0
    vhost: str = "/"
    wishes: dict[str, Any] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """How a row names it."""
        return f"queue {self.name}"

    @property
    def kind(self) -> str:
        """The queue's type."""
        return str(self.told.get("type", "classic"))

    @property
    def is_quorum(self) -> bool:
        """Whether it is of the type that keeps promises."""
        return self.kind == "quorum"

    @property
    def modern(self) -> bool:
        """Whether the broker is RabbitMQ 4 or later, which has a delivery limit of its own."""
        major = re.match(r"\d+", self.version)
        return major is not None and int(major[0]) >= 4  # noqa: PLR2004 - a version

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments that the queue was declared with."""
        return self._part("arguments")

    def value(self, name: str) -> Any:  # noqa: ANN401 - whatever a policy may hold
        """Return what is in force: the lower of two numbers, else the argument, else a policy."""
        argument, policy = self.arguments.get(f"x-{name}"), self._policy.get(name)
        if isinstance(argument, int) and isinstance(policy, int):
            return max(argument, policy) if min(argument, policy) < 0 else min(argument, policy)
        return policy if argument is None else argument

    def number(self, name: str) -> float | None:
        """Return the number that is in force; None where there is none."""
        value = self.value(name)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def wish(self, **wanted: Any) -> str:
        """Note what a policy should hold, and return what stands for its command until then."""
        self.wishes.update({name.replace("_", "-"): value for name, value in wanted.items()})
        return WISH

    def policy(self) -> str:
        """Return the command for a policy with all that is wished for.

        Only one policy counts for a queue: a new one has to repeat what is in force.
        """
        words = ("-p", self.vhost, "--priority", "100", "--apply-to", "queues")
        in_force = json.dumps({**self._policy, **self.wishes})
        own = (f"crm-importer {self.name}", f"^{re.escape(self.name)}$", in_force)
        return shlex.join(["rabbitmqctl", "set_policy", *words, *own])

    @property
    def _policy(self) -> Mapping[str, Any]:
        return self._part("effective_policy_definition")

    def _part(self, name: str) -> Mapping[str, Any]:
        """Return an object as it was received; an empty one for anything else."""
        found = self.told.get(name)
        return found if isinstance(found, dict) else {}
