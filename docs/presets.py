"""Regenerates docs/presets.md, the reference of presets, from the settings themselves: `python docs/presets.py`."""

from __future__ import annotations

import sys
from pathlib import Path

from engine.spec.preset import load, shipped
from engine.spec.settings import SECTIONS, expected, meaning
from mftui.figures.definition import figure_directory, read, shipped_figures

PAGE = Path(__file__).parent / "presets.md"

HEAD = """# Presets

One experiment is one TOML file. `mftui presets validate FILE` checks it. This page is made by `python docs/presets.py`.

A preset goes by its name, `mftui run quick-start`, or by its path, `mftui run ./mine.toml`. A name is looked for among
the shipped presets first, then among your own in `$MFTUI_HOME/presets`, where the explorer's screen of presets saves.

At the top level: `title`; `about`, what to look for; `methods`, a list of methods ("gd", "prior" and "gnc" unless
given); `seeds`, the number of data sets (of inits and guesses, where a file has the one data set); `extends`, the name
of a preset, or the path of a file, that this one starts from: tables are merged, lists and single values replaced.
`[sweep]` has `over`, the field to vary, such as "model.width", and `values`. In a sweep any field may also be a list
with one value per sweep point.

A problem of kind "file" is an `.npz` archive: `A` (n × m × m'), `y` (n), and `W_star` (m × m') with optional `B` (an
orthonormal basis of what the measurements don't see), or `A_test` and `y_test`. Pickles are refused.
"""


def figures() -> dict[str, list[str]]:
    """The figures that each preset is part of."""
    found: dict[str, list[str]] = {}
    for name in shipped_figures():
        panels = read(figure_directory() / f"{name}.toml").panels
        for preset in {run.preset for panel in panels for run in panel.runs}:
            found.setdefault(preset, []).append(name)
    return found


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for section, settings in SECTIONS.items():
        summary = (settings.__doc__ or "").strip()
        parts.append(f"\n## [{section}]\n{summary}\n\n| field | default | accepts | meaning |\n|---|---|---|---|\n")
        for name, field in settings.model_fields.items():
            default = str(field.default).lower() if isinstance(field.default, bool) else field.default
            means = meaning(f"{section}.{name}").replace("|", "\\|")
            parts.append(f"| `{name}` | {default} | {expected(field)} | {means} |\n")
    parts.append("\n## Shipped presets\n")
    parts.append("`mftui run NAME` runs one, `mftui figure FIGURE` makes a figure that it is part of.\n\n")
    parts.append("| preset | what is swept | figures |\n|---|---|---|\n")
    used = figures()
    for name in shipped():
        experiment = load(name)
        swept = f"`{experiment.over}`: {', '.join(map(str, experiment.values))}" if experiment.over else ""
        parts.append(f"| [{name}](#{name}) | {swept} | {', '.join(used.get(name, []))} |\n")
    for name in shipped():
        experiment = load(name)
        parts.append(f"\n### {name}\n**{experiment.title}**\n\n{experiment.about}\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stderr.write(f"wrote {PAGE}\n")
