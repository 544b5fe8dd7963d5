"""Settings for tests: one line a point."""

from __future__ import annotations

from typing import Any

from engine.spec.settings import SECTIONS, PointSettings


def point(**fields: Any) -> PointSettings:
    """`point(width=7, eps_train=0.1)`: defaults but for these fields, whose section is found by name."""
    raw: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for name, value in fields.items():
        section = next(key for key, settings in SECTIONS.items() if name in settings.model_fields)
        raw[section][name] = value
    return PointSettings.model_validate(raw)
