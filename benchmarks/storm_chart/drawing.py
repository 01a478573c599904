"""The chart of a storm as SVG: a panel for each middleware, on the same axes."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree as ET

from .panel import LEFT, PLOT, RIGHT, Panel, draw, figures
from .states import Course
from .storm import WAY, Size
from .style import style
from .svg import NAMESPACE, Scale, add

WIDTH, HEIGHT = 720, 742
TOPS = (120, 436)
"""The top of each panel."""
HEADINGS = {
    "A naive middleware": ": each 401 starts a login, and each login ends another's token",
    "exterview_auth": ": the first 401 starts a login, and all others wait for it",
}
LEGEND = {
    "in-flight": (12, "queued or in flight"),
    "refused": (190, "refused (401), waits for a login"),
    "held": (456, "held back until the login is done"),
}


@dataclass(frozen=True)
class Chart:
    """The same storm with the naive middleware and with `ExterviewAuth`."""

    size: Size
    naive: Course
    ours: Course


def svg(chart: Chart) -> str:
    """Return the whole picture. The same *chart* makes the same text."""
    root = ET.Element("svg", xmlns=NAMESPACE, viewBox=f"0 0 {WIDTH} {HEIGHT}", width=f"{WIDTH}", height=f"{HEIGHT}")
    root.attrib |= {"role": "img", "aria-labelledby": "title desc"}
    add(root, "title", _title(chart), id="title")
    add(root, "desc", _description(chart), id="desc")
    add(root, "style", style())
    _head(root, chart)
    _panels(root, chart)
    return ET.tostring(root, encoding="unicode") + "\n"


def _title(chart: Chart) -> str:
    return f"{chart.size.requests} requests, and a token that is revoked under way"


def _setting(chart: Chart) -> tuple[str, str]:
    size = chart.size
    rate, way, login = size.requests / size.seconds, 2000 * WAY, 1000 * size.login_seconds
    return (
        f"{rate:.0f} requests a second over {size.connections} connections, recorded on real sockets of one machine.",
        f"Each request has {way:.0f} ms of added network; a login takes {login:.0f} ms and ends the token before it.",
    )


def _description(chart: Chart) -> str:
    halves = (
        f"{name}: {', '.join(' '.join(pair) for pair in figures(course))}."
        for name, course in zip(HEADINGS, (chart.naive, chart.ours), strict=True)
    )
    return " ".join([*_setting(chart), "Open requests by state over time, and each login and failure.", *halves])


def _head(root: ET.Element, chart: Chart) -> None:
    add(root, "text", _title(chart), x=12, y=26, class_="ink title")
    for number, line in enumerate(_setting(chart)):
        add(root, "text", line, x=12, y=48 + 18 * number, class_="soft")
    for name, (x, words) in LEGEND.items():
        add(root, "rect", x=x, y=84, width=12, height=12, rx=2, class_=name)
        add(root, "text", words, x=x + 18, y=95, class_="ink")


def _panels(root: ET.Element, chart: Chart) -> None:
    courses = (chart.naive, chart.ours)
    time = Scale(max(course.samples[-1].time for course in courses), LEFT, RIGHT)
    most = max(sum(sample.open) for course in courses for sample in course.samples)
    count = Scale(most * 1.15, PLOT[1], PLOT[0])
    for course, top, (name, rest) in zip(courses, TOPS, HEADINGS.items(), strict=True):
        group = add(root, "g", transform=f"translate(0 {top})")
        draw(Panel(group, course, time, count), name, rest)
