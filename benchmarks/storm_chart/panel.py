"""One half of the chart: open requests by state, the logins, the failures, and figures below them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from .states import OPEN, Course, State
from .svg import Scale, add, short

LEFT, RIGHT = 114, 708
PLOT, LOGINS, FAILURES, AXIS, FIGURES = (36, 156), (166, 212), (220, 231), 250, 282
"""The parts of a panel, measured from its top."""
LAYERS = {State.IN_FLIGHT: "in-flight", State.REFUSED: "refused", State.HELD: "held"}

Span = tuple[float, float]


@dataclass(frozen=True)
class Panel:
    """One storm, where it is drawn, and on which scales."""

    parent: ET.Element
    course: Course
    time: Scale
    count: Scale


def draw(panel: Panel, name: str, rest: str) -> None:
    """Draw the panel below its heading."""
    heading = add(panel.parent, "text", x=12, y=18, class_="ink heading")
    add(heading, "tspan", name, class_="name").tail = rest
    _grid(panel)
    _layers(panel)
    _logins(panel)
    _failures(panel)
    _revocation(panel)
    _figures(panel)


def _grid(panel: Panel) -> None:
    for value, y in panel.count.ticks():
        add(panel.parent, "path", d=f"M{LEFT} {short(y)}H{RIGHT}", class_="grid")
        add(panel.parent, "text", f"{value:.0f}", x=LEFT - 8, y=y + 4.5, class_="soft end")
    for value, x in panel.time.ticks():
        add(panel.parent, "path", d=f"M{short(x)} {FAILURES[1]}v5", class_="grid")
        add(panel.parent, "text", f"{value:g} s", x=x, y=AXIS, class_="soft middle")
    for words, y in (("open", 92), ("requests", 108), ("logins", 193), ("failures", 230)):
        add(panel.parent, "text", words, x=12, y=y, class_="soft")
    for _, bottom in (LOGINS, FAILURES):
        add(panel.parent, "path", d=f"M{LEFT} {bottom}H{RIGHT}", class_="grid")


def _layers(panel: Panel) -> None:
    """Draw each layer down to zero; lower layers cover it."""
    for number, state in reversed(list(enumerate(OPEN))):
        tops = [sum(sample.open[: number + 1]) for sample in panel.course.samples]
        add(panel.parent, "path", d=_steps(panel, tops), class_=LAYERS[state])


def _steps(panel: Panel, tops: Sequence[int]) -> str:
    """Return a path with a step where the count changes; at the last sample nothing is open any more."""
    drawn, parts = 0, [f"M{LEFT} {short(panel.count(0))}"]
    for sample, top in zip(panel.course.samples, tops, strict=True):
        if top != drawn:
            parts.append(f"H{short(panel.time(sample.time))}V{short(panel.count(top))}")
            drawn = top
    return "".join([*parts, "Z"])


def _logins(panel: Panel) -> None:
    """Draw a line for each login, as long as it took; simultaneous logins below each other."""
    placed = list(rows(panel.course.logins))
    if not placed:
        return
    top, bottom = LOGINS
    pitch = min(8.0, (bottom - top) / (max(row for row, _ in placed) + 1))
    lines = "".join(
        f"M{short(panel.time(began))} {short(top + (row + 0.5) * pitch)}H{short(panel.time(ended))}"
        for row, (began, ended) in placed
    )
    line = add(panel.parent, "path", d=lines, class_="login")
    line.set("stroke-width", f"{min(max(pitch, 0.7), 5.0):.2f}")


def rows(spans: Sequence[Span]) -> Iterator[tuple[int, Span]]:
    """Return each of *spans* with the first row that is free at that time."""
    free: list[float] = []
    for span in sorted(spans):
        row = next((row for row, ended in enumerate(free) if ended <= span[0]), len(free))
        free[row : row + 1] = [span[1]]
        yield row, span


def _failures(panel: Panel) -> None:
    """Draw a tick for each failure; failures at the same place share one."""
    top, bottom = FAILURES
    places = sorted({int(panel.time(failed)) for failed in panel.course.failed})
    add(panel.parent, "path", d="".join(f"M{x}.5 {top}V{bottom}" for x in places), class_="failed")


def _revocation(panel: Panel) -> None:
    x = panel.time(panel.course.revoked)
    line = add(panel.parent, "path", d=f"M{short(x)} {PLOT[0]}V{FAILURES[1]}", class_="revoked")
    line.set("stroke-dasharray", "3 3")
    add(panel.parent, "text", "token revoked", x=x - 8, y=PLOT[0] + 12, class_="ink end")


def _figures(panel: Panel) -> None:
    width = (RIGHT - LEFT) / 4
    for number, (figure, words) in enumerate(figures(panel.course)):
        add(panel.parent, "text", figure, x=LEFT + number * width, y=FIGURES, class_="ink figure")
        add(panel.parent, "text", words, x=LEFT + number * width, y=FIGURES + 18, class_="soft")


def figures(course: Course) -> list[tuple[str, str]]:
    """Return the numbers of one storm, with their labels."""
    return [
        (f"{len(course.logins)}", "login" if len(course.logins) == 1 else "logins"),
        (f"{course.refusals}", "refusals (401)"),
        (f"{len(course.failed)}", f"of {course.answered + len(course.failed)} failed"),
        (f"{course.seconds:.2f} s", "until all had ended"),
    ]
