"""The chart of a storm: what is recorded for it, and the file it becomes."""

from __future__ import annotations

import re
from dataclasses import astuple
from xml.etree import ElementTree as ET

import pytest

from benchmarks.harness.server import API_KEY
from benchmarks.storm_chart.__main__ import QUICK, record
from benchmarks.storm_chart.drawing import HEADINGS, Chart, svg
from benchmarks.storm_chart.panel import rows
from benchmarks.storm_chart.states import Course, Move, State, samples
from benchmarks.storm_chart.svg import NAMESPACE

TAG = f"{{{NAMESPACE}}}"


@pytest.fixture(scope="module")
def chart() -> Chart:
    return record(quick=True)


@pytest.fixture(scope="module")
def picture(chart: Chart) -> ET.Element:
    return ET.fromstring(svg(chart))


def words(element: ET.Element) -> str:
    return "".join(element.itertext())


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
        Move(5.011, "b", State.IN_FLIGHT),
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


def test_the_picture_holds_no_secret(chart: Chart) -> None:
    """Neither the key nor any token, and no name of one."""
    assert not re.search(rf"{re.escape(API_KEY)}|Bearer|token-\d", svg(chart) + repr(astuple(chart)))
