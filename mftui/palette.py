"""Every action by name: what ctrl+p lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from textual.app import SystemCommand
from textual.binding import Binding
from textual.dom import DOMNode


def commands(owners: Iterable[DOMNode], shown: Callable[[Binding], str]) -> Iterator[SystemCommand]:
    """Each action of the owners' keys once; where several have one name, with `shown` of its first key."""
    found: dict[tuple[DOMNode, str], Binding] = {}
    for owner in owners:
        for each in type(owner).BINDINGS:
            if isinstance(each, Binding) and each.description and each.action != "command_palette":
                found.setdefault((owner, each.action), each)
    names = Counter(each.description for each in found.values())
    meaning: dict[tuple[DOMNode, str], str] = {}
    for (owner, action), each in found.items():
        meaning[owner, each.description] = each.tooltip or meaning.get((owner, each.description), each.description)
        name = each.description
        if names[name] > 1:
            name += f" ({shown(each.with_key(each.key.split(',')[0]))})"
        run = lambda action=action, owner=owner: owner.run_action(action)  # noqa: E731
        yield SystemCommand(name, meaning[owner, each.description], run)
