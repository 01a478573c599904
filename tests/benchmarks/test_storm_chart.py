"""The chart of a storm: what is recorded for it, and the file it becomes."""

from __future__ import annotations

import re
from dataclasses import astuple, replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.harness.server import API_KEY
from benchmarks.storm_chart.__main__ import FULL, QUICK, draw, record
from benchmarks.storm_chart.drawing import HEADINGS, Chart, svg
from benchmarks.storm_chart.panel import rows
from benchmarks.storm_chart.states import Course, Move, State, samples
from benchmarks.storm_chart.style import AREAS, GRID, LINES, PAGES, TEXT, style
from benchmarks.storm_chart.svg import NAMESPACE, Scale

TAG = f"{{{NAMESPACE}}}"


@pytest.fixture(scope="module")
def chart() -> Chart:
    return record(quick=True)


@pytest.fixture(scope="module")
def picture(chart: Chart) -> ET.Element:
    return ET.fromstring(svg(chart))


def words(element: ET.Element) -> str:
    return "".join(element.itertext())


def largest() -> Chart:
    """As many logins and failures as the full size can have, and as many steps as are ever drawn."""
    after = FULL.requests - FULL.before
    course = Course(
        samples=samples([Move(number / 100, str(number % 150), list(State)[number % 5]) for number in range(1000)]),
        revoked=3.0,
        logins=[(3 + number / 100, 3.2 + number / 100) for number in range(after)],
        failed=[3.3 + number / 100 for number in range(after)],
        answered=FULL.before,
        refusals=2 * after,
        seconds=10.0,
    )
    return Chart(FULL, course, replace(course, logins=course.logins[:1], failed=[]))


def test_ours_logs_in_once_and_loses_nothing(chart: Chart) -> None:
    """After the revocation there is one login, and every request is answered."""
    assert len(chart.ours.logins) == 1
    assert chart.ours.failed == []
    assert chart.ours.answered == QUICK.requests
    assert 1 <= chart.ours.refusals <= QUICK.requests


def test_the_naive_one_logs_in_for_each_refusal(chart: Chart) -> None:
    """Each request that meets a 401 makes a login; a second 401 goes to the caller, and all are accounted for."""
    assert len(chart.naive.logins) > 1
    assert len(chart.naive.logins) == chart.naive.refusals - len(chart.naive.failed)
    assert chart.naive.answered + len(chart.naive.failed) == QUICK.requests


@pytest.mark.parametrize("who", ["naive", "ours"])
def test_no_more_requests_are_open_than_have_begun(chart: Chart, who: str) -> None:
    """At each sample the states hold at most what has begun; in the end all have begun and none is open."""
    course: Course = getattr(chart, who)
    assert all(0 <= sum(sample.open) <= sample.begun <= QUICK.requests for sample in course.samples)
    assert course.samples[-1].begun == QUICK.requests
    assert sum(course.samples[-1].open) == 0


@pytest.mark.parametrize("who", ["naive", "ours"])
def test_the_logins_come_after_the_revocation(chart: Chart, who: str) -> None:
    """All times count from the first request: it, the revocation, the logins, the last answer."""
    course: Course = getattr(chart, who)
    assert 0 < course.revoked < min(began for began, _ in course.logins)
    assert max(ended for _, ended in course.logins) < course.seconds
    assert all(began < ended for began, ended in course.logins)


def test_samples_count_each_request_in_its_latest_state() -> None:
    """A request leaves one state for the next, and an ended one leaves all."""
    moves = [
        Move(5.0, "a", State.HELD),
        Move(5.011, "b", State.UNDER_WAY),
        Move(5.021, "a", State.REFUSED),
        Move(5.031, "a", State.FAILED),
        Move(5.032, "b", State.ANSWERED),
    ]
    assert [(sample.begun, sample.open) for sample in samples(moves)] == [
        (0, (0, 0, 0)),
        (1, (0, 0, 1)),
        (2, (1, 0, 1)),
        (2, (1, 1, 0)),
        (2, (0, 0, 0)),
    ]


def test_logins_at_the_same_time_lie_in_rows_of_their_own() -> None:
    """A row is used again once what was in it has ended."""
    spans = [(0.0, 2.0), (1.0, 3.0), (2.0, 4.0), (2.5, 5.0)]
    assert list(rows(spans)) == [(0, (0.0, 2.0)), (1, (1.0, 3.0)), (0, (2.0, 4.0)), (2, (2.5, 5.0))]


@pytest.mark.parametrize("most", [0.43, 2.3, 7.0, 29.0, 163.0, 1000.0])
def test_ticks_are_few_round_and_inside(most: float) -> None:
    """Three to six ticks, from zero, none beyond the end."""
    ticks = list(Scale(most, 10, 20).ticks())
    assert 3 <= len(ticks) <= 6
    assert ticks[0] == (0.0, 10.0)
    assert ticks[-1][0] <= most


def test_the_picture_says_what_it_is(picture: ET.Element) -> None:
    """It is one image for a screen reader, named by its title and described by its figures."""
    assert picture.tag == f"{TAG}svg"
    assert picture.get("role") == "img"
    assert {element.get("id") for element in picture} >= set(str(picture.get("aria-labelledby")).split())
    assert f"{QUICK.requests} requests" in words(picture[0])
    assert re.search(r"exterview_auth: 1 login, \d+ refusals \(401\), 0 of 60 failed", words(picture[1]))


def test_the_picture_has_a_panel_for_each(picture: ET.Element, chart: Chart) -> None:
    """Each panel has its heading, its figures and the mark of the revocation, as text."""
    panels = picture.findall(f"{TAG}g")
    for panel, name, course in zip(panels, HEADINGS, (chart.naive, chart.ours), strict=True):
        texts = [words(text) for text in panel.findall(f"{TAG}text")]
        assert texts[0].startswith(name)
        assert {"token revoked", str(len(course.logins)), str(course.refusals), str(len(course.failed))} <= set(texts)


def test_each_login_is_a_line(picture: ET.Element, chart: Chart) -> None:
    """As many lines as logins, in each panel."""
    drawn = [line.get("d", "").count("M") for line in picture.iterfind(f".//{TAG}path[@class='login']")]
    assert drawn == [len(chart.naive.logins), len(chart.ours.logins)]


def test_the_picture_needs_nothing_else(picture: ET.Element, chart: Chart) -> None:
    """No script, no reference to anything outside, no background, and only elements that draw."""
    tags = {element.tag.removeprefix(TAG) for element in picture.iter()}
    assert tags == {"svg", "title", "desc", "style", "g", "path", "rect", "text", "tspan"}
    text = svg(chart)
    assert not re.search(r"href|url\(|@import|javascript|\son\w+=", text)
    assert text.count("http") == 1  # the name of the format itself


def test_the_picture_holds_no_secret(chart: Chart) -> None:
    """Neither the key nor any token, and no name of one."""
    assert not re.search(rf"{re.escape(API_KEY)}|Bearer|token-\d", svg(chart) + repr(astuple(chart)))


def test_the_picture_is_small() -> None:
    """Under 40 kB where every request after the revocation fails after a login of its own, and however long it takes."""
    assert len(svg(largest()).encode()) < 40_000


def test_the_same_data_makes_the_same_file(chart: Chart, tmp_path: Path) -> None:
    """Drawn twice, the bytes are the same, and they are the picture."""
    paths = [tmp_path / "one.svg", tmp_path / "two.svg"]
    for path in paths:
        draw(chart, path)
    assert paths[0].read_bytes() == paths[1].read_bytes() == svg(chart).encode()


def test_everything_lies_inside_the_picture(picture: ET.Element) -> None:
    """No coordinate of a path is left of the picture or beyond its right edge."""
    width = float(picture.get("width", "0"))
    for path in picture.iter(f"{TAG}path"):
        places = [float(x) for x in re.findall(r"[MH](-?[\d.]+)", path.get("d", ""))]
        assert all(0 <= x <= width for x in places)


def test_dark_pages_get_colours_of_their_own() -> None:
    """The style sheet sets each colour once for light pages and once more for dark ones."""
    light, dark = style().split("@media (prefers-color-scheme: dark)")
    for name, shade in (TEXT | AREAS | LINES | GRID).items():
        assert re.search(rf"\.{name} {{ (fill|stroke): {shade.light}; }}", light)
        assert re.search(rf"\.{name} {{ (fill|stroke): {shade.dark}; }}", dark)


@pytest.mark.parametrize(("shades", "least"), [(AREAS | LINES, 3.0), (TEXT, 4.5)])
def test_colours_stand_out_from_the_page(shades: dict[str, tuple[str, str]], least: float) -> None:
    """Contrast with the page in both modes: 3:1 for what is drawn, 4.5:1 for text."""
    for shade in shades.values():
        for colour, page in zip(shade, PAGES, strict=True):
            assert contrast(colour, page) >= least


def contrast(one: str, other: str) -> float:
    """The ratio of the Web Content Accessibility Guidelines."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
