"""A drawing as part of a page: SVG without its prolog, its metadata and its names for what others name too."""

from __future__ import annotations

import html
import re
from xml.etree import ElementTree

_DROPPED = ("metadata", "style", "title", "desc", "script")
_SIZE = ("width", "height", "version")
"""of the drawing: the page says how large it is"""
_INHERITED = "stroke-linejoin: round; stroke-linecap: butt"
"""what matplotlib says of all elements in a style sheet, which in a page would be the whole page's"""


def inlined(svg: bytes, prefix: str, title: str) -> str:
    """A drawing's SVG as an element of a page; `prefix` keeps its identifiers apart from those of other drawings."""
    root = ElementTree.fromstring(svg)  # noqa: S314 (it is our own drawing)
    root.attrib = {key: value for key, value in root.attrib.items() if key not in _SIZE}
    root.attrib |= {"role": "img", "aria-label": title, "style": _INHERITED}
    return _written(root, prefix)


def _written(element: ElementTree.Element, prefix: str) -> str:
    name = _local(element.tag)
    if name in _DROPPED:
        return ""
    attributes = "".join(
        f' {_local(key)}="{html.escape(_renamed(_local(key), value, prefix))}"' for key, value in element.items()
    )
    inner = [html.escape((element.text or "").strip("\n"))]
    for child in element:
        inner += [_written(child, prefix), html.escape((child.tail or "").strip("\n"))]
    return f"<{name}{attributes}>{''.join(inner)}</{name}>"


def _local(name: str) -> str:
    """A name without its namespace."""
    return name.rsplit("}", 1)[-1]


def _renamed(name: str, value: str, prefix: str) -> str:
    """An attribute's value with the identifiers in it prefixed."""
    if name == "id":
        return prefix + value
    if name == "href" and value.startswith("#"):
        return f"#{prefix}{value[1:]}"
    return re.sub(r"url\(#", f"url(#{prefix}", value)
