"""
The chart's colours, from Okabe and Ito: colour-blind people can tell them apart. They are a shade darker on light pages.

The chart has no background. The contrast with the page behind it (#ffffff, #0d1117) is at least 3:1, for text 4.5:1, in both modes.
"""

from __future__ import annotations

from typing import NamedTuple


class Shade(NamedTuple):
    """One colour, as it is in light and in dark mode."""

    light: str
    dark: str


TEXT = {"ink": Shade("#1f2328", "#f0f6fc"), "soft": Shade("#59636e", "#9198a1")}
AREAS = {
    "in-flight": Shade("#0072b2", "#56b4e9"),
    "refused": Shade("#b97d00", "#e69f00"),
    "held": Shade("#bd6598", "#cc79a7"),
}
LINES = {
    "login": Shade("#008763", "#1fb58a"),
    "failed": Shade("#d55e00", "#f07830"),
    "revoked": TEXT["ink"],
}
GRID = {"grid": Shade("#d1d9e0", "#3d444d")}


def style() -> str:
    """Return the style sheet."""
    return "\n".join(["", *_rules(0), "@media (prefers-color-scheme: dark) {", *_rules(1), "}", *_FIXED, ""])


def _rules(mode: int) -> list[str]:
    fills = [f".{name} {{ fill: {shade[mode]}; }}" for name, shade in (TEXT | AREAS).items()]
    return [*fills, *(f".{name} {{ stroke: {shade[mode]}; }}" for name, shade in (LINES | GRID).items())]


_FIXED = (
    "text { font-family: system-ui, sans-serif; font-size: 14px; }",
    ".title { font-size: 20px; font-weight: 600; }",
    ".heading { font-size: 16px; }",
    ".name { font-weight: 600; }",
    ".figure { font-size: 21px; font-weight: 600; }",
    ".middle { text-anchor: middle; }",
    ".end { text-anchor: end; }",
)
