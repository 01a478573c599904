"""The page in a real browser: what it shows, what its buttons do, and that it stays quick, readable and free of secrets."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientSession
from playwright.async_api import Browser, Page, Request, expect

from exterview_auth import AuthSession, ExterviewAuth, PasswordLogin
from exterview_auth.emulator import Emulator
from tests.kit.api import until
from tests.kit.browser import chromium
from tests.kit.emulator import SMOKE, answer, credentials, log_in, smoke

# One browser for all of them, and therefore one event loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")

SCREENSHOTS = "EXTERVIEW_SCREENSHOTS"
"""A variable with a directory, for people who want to look at the pages."""

STORM = 50

CONTRAST = """
() => {
  const light = (color) => {
    const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map((one) => one / 255).map((one) => one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (!/, 0\\)$/.test(color)) return color;
    }
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest("script, style")) continue;
    const [one, two] = [light(getComputedStyle(element).color), light(behind(element))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (two + 0.05);
    if (ratio < 4.5) found.push(`${element.tagName} ${element.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return found;
}
"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    """Run one browser for all tests of this module."""
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def emulator() -> AsyncIterator[Emulator]:
    """Run an emulator on this module's loop."""
    async with Emulator() as emulator:
        yield emulator


@pytest_asyncio.fixture(loop_scope="module")
async def http() -> AsyncIterator[ClientSession]:
    """Open a session on this module's loop."""
    async with ClientSession() as session:
        yield session


@asynccontextmanager
async def opened(browser: Browser, emulator: Emulator, **options: Any) -> AsyncIterator[Page]:
    """Open the page, and fail at the end if it has said anything to the console or asked anyone else."""
    context = await browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    page = await context.new_page()
    page.set_default_timeout(20_000)
    said: list[str] = []

    def note_foreign(request: Request) -> None:
        if not request.url.startswith((emulator.page, "data:,")):
            said.append(request.url)

    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", note_foreign)
    await page.goto(emulator.page)
    await expect(page.locator("#live")).to_have_text("live")
    yield page
    await context.close()
    # Chromium reports each answer of status 400 and more, and each connection that ends.
    assert [one for one in said if not one.startswith("Failed to load resource")] == []


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, emulator: Emulator) -> AsyncIterator[Page]:
    """Open the page as on a desk."""
    async with opened(browser, emulator) as page:
        yield page


async def storm(emulator: Emulator, http: ClientSession, requests: int = STORM) -> None:
    """Send requests through the library, and revoke their token."""
    login = PasswordLogin(emulator.email, emulator.password)
    async with ExterviewAuth(login, api_key=emulator.api_key, endpoint=emulator.endpoint) as auth:
        api = AuthSession(http, auth)
        await api.graphql("query Jobs { jobs { title } }")
        emulator.revoke()
        await asyncio.gather(*(api.graphql("query Jobs { jobs { title } }") for _ in range(requests)))


def rows(page: Page, text: str) -> Any:
    return page.locator("#rows tr").filter(has_text=text)


async def everything(page: Page) -> str:
    """Return all that the page holds: its text, attributes and fields."""
    fields = "[...document.querySelectorAll('input, textarea')].map((one) => one.value).join(' ')"
    return str(await page.evaluate(f"document.documentElement.outerHTML + {fields}"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
async def test_it_fits_and_is_readable(
    browser: Browser, emulator: Emulator, http: ClientSession, width: int, scheme: Any
) -> None:
    """On a desk and on a phone, in the light and in the dark, nothing sticks out and every text has its contrast."""
    options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    async with opened(browser, emulator, **options) as page:
        await storm(emulator, http)
        emulator.issue_token()
        emulator.silence(3600)
        login = asyncio.create_task(log_in(emulator, http))
        await expect(page.locator("#flights progress")).to_have_count(1)
        await expect(page.locator("#caption")).to_contain_text("50 answered")
        await page.locator("#console button").click()
        await page.locator("summary").click()
        emulator.silence(0)
        await login
        await expect(page.locator("#outcome")).to_contain_text("Status 200")
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        assert await page.evaluate(CONTRAST) == []
        if directory := os.environ.get(SCREENSHOTS):
            await page.screenshot(path=Path(directory) / f"page-{width}-{scheme}.png", full_page=True)
    background = "rgb(20, 24, 29)" if scheme == "dark" else "rgb(247, 246, 242)"
    async with opened(browser, emulator, **options) as page:
        assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == background


async def test_the_journal_is_live(emulator: Emulator, http: ClientSession, page: Page) -> None:
    """A request appears as it is answered, the newest first: time, operation, status, token, and why it was refused."""
    await expect(page.locator("#blank")).to_have_text("Nothing has been asked yet.")
    await log_in(emulator, http)
    await expect(rows(page, "Login")).to_have_count(1)
    emulator.revoke()
    await smoke(emulator, http, "dead")
    first = page.locator("#rows tr").first
    await expect(first).to_contain_text("__typename")
    await expect(first).to_contain_text("Invalid bearer token")
    await expect(first.locator(".status")).to_have_text("401")
    await expect(first.locator(".token")).to_have_text(emulator.journal[-1].fingerprint or "")
    assert re.match(r"\d\d:\d\d:\d\d\.\d\d\d", await first.locator(".time").inner_text())
    await expect(rows(page, "Control: revoke")).to_have_count(1)
    assert await page.locator("#blank").inner_text() == ""


async def test_the_journal_is_filtered(emulator: Emulator, http: ClientSession, page: Page) -> None:
    """By words in any column, and by kind; new requests that do not match stay out until the filter goes."""
    await log_in(emulator, http)
    await smoke(emulator, http)
    await smoke(emulator, http, "dead")
    await expect(page.locator("#rows tr")).to_have_count(3)
    await page.get_by_label("Filter").fill("401 typename")
    await expect(page.locator("#rows tr")).to_have_count(1)
    await smoke(emulator, http)
    await smoke(emulator, http, "dead")
    await expect(page.locator("#rows tr")).to_have_count(2)
    await page.get_by_label("Filter").fill("nonsense")
    await expect(page.locator("#blank")).to_have_text("Nothing matches.")
    await page.get_by_label("Filter").fill("")
    await expect(page.locator("#rows tr")).to_have_count(5)
    emulator.expire()
    for kind, number in (("login", 1), ("refused", 2), ("control", 1), ("", 6)):
        await page.get_by_label("Show").select_option(kind)
        await expect(page.locator("#rows tr")).to_have_count(number)
    await page.get_by_label("Filter").press("Enter")  # does not leave the page
    await expect(page.locator("#rows tr")).to_have_count(6)


async def test_the_journal_can_be_held(emulator: Emulator, http: ClientSession, page: Page) -> None:
    """While it is paused nothing moves and the button counts; afterwards all of it is there."""
    await smoke(emulator, http)
    await expect(page.locator("#rows tr")).to_have_count(1)
    await page.get_by_role("button", name="Pause").click()
    await expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")
    await smoke(emulator, http)
    await smoke(emulator, http)
    await expect(page.locator("#pause")).to_have_text("Resume (2 new)")
    await expect(page.locator("#rows tr")).to_have_count(1)
    await page.locator("#pause").click()
    await expect(page.locator("#rows tr")).to_have_count(3)
    await expect(page.locator("#pause")).to_have_text("Pause")


async def test_requests_are_counted_by_state(emulator: Emulator, http: ClientSession, page: Page) -> None:
    """In progress, answered, refused and failed; logins, and the most at once; each status by itself."""
    emulator.silence(3600)
    logins = [asyncio.create_task(log_in(emulator, http)) for _ in range(2)]
    await expect(page.locator("#running")).to_have_text("2")
    await expect(page.locator("#flights progress")).to_have_count(2)
    emulator.silence(0)
    await asyncio.gather(*logins)
    await smoke(emulator, http, "dead")
    emulator.refuse(1, status=500)
    await smoke(emulator, http)
    await expect(page.locator("#failed")).to_have_text("1")
    for name, number in (("running", "0"), ("answered", "2"), ("refused", "1"), ("logins", "2"), ("peak", "2")):
        await expect(page.locator(f"#{name}")).to_have_text(number)
    await expect(page.locator("#statuses")).to_have_text("By status: 200: 2, 401: 1, 500: 1. Open WebSockets: 0.")
    await expect(page.locator("#flights")).to_have_text("none")


async def test_tokens_are_shown_by_fingerprint_and_remaining_life(
    emulator: Emulator, http: ClientSession, page: Page
) -> None:
    """The newest first; a token that is over says why."""
    await expect(page.locator("#list")).to_have_text("none issued yet")
    emulator.token_lifetime = 60
    await smoke(emulator, http)
    one = page.locator("#list li").first
    await expect(one).to_contain_text(emulator.journal[-1].fingerprint or "")
    await expect(one).to_contain_text(re.compile(r"(60|5\d) s left"))
    emulator.expire()
    await expect(one).to_contain_text("expired")
    emulator.revoke()
    await expect(one).to_contain_text("revoked")
    for _ in range(25):
        emulator.issue_token()
    await expect(page.locator("#more")).to_have_text("and 6 older ones")


async def test_a_storm_is_drawn_and_told(emulator: Emulator, http: ClientSession, page: Page) -> None:
    """The last storm has a time line, and a sentence with the same numbers for those who do not see it."""
    await storm(emulator, http)
    caption = page.locator("#caption")
    sentence = (
        r"At \d\d:\d\d:\d\d: 50 requests refused, the last after [\d.]+ m?s; "
        r"1 login of at most [\d.]+ m?s; 50 answered, the last after [\d.]+ m?s\."
    )
    await expect(caption).to_have_text(re.compile(sentence))
    for name in ("up", "down", "bars", "marks"):
        assert re.match(r"M\d", await page.locator(f"#{name}").get_attribute("d") or ""), name
    await expect(page.locator("#end")).to_have_text(re.compile(r"[\d.]+ m?s"))
    assert await page.get_by_role("img", name=re.compile("50 requests refused")).count() == 1
    await asyncio.sleep(2.1)
    await storm(emulator, http, 3)
    await expect(caption).to_contain_text("3 requests refused")


DAY = """
() => {
  const day = 86_400, begin = Date.parse("2026-01-01T00:00:00Z"), begun = performance.now();
  const one = { seconds: 0.01, operation: "q", method: "POST", path: "/graphql", fingerprint: "x", reason: null, login: false };
  for (let second = 0; second < day; second += 2) {
    const at = (ms) => ({ time: new Date(begin + second * 1000 + ms).toISOString() });
    take({ ...at(0), control: "revoke", arguments: {} });
    take({ ...one, ...at(10), status: 401 });
    take({ ...one, ...at(600), status: 200, login: true, seconds: second ? 0.5 : 0.55 });
    for (let count = 0; count < 5; count += 1) take({ ...one, ...at(610 + count), status: 200 });
  }
  return [performance.now() - begun, ...["refused", "answered", "logins", "marks"].map((name) => storm[name].length)];
}
"""


async def test_a_storm_of_a_day_takes_no_more_room_than_another(page: Page) -> None:
    """A program that meets a refusal every two seconds: the sentence counts all, the picture shows the whole day."""
    took, *groups = await page.evaluate(DAY)
    assert took < 30_000
    assert max(groups) <= 1000
    caption = page.locator("#caption")
    await expect(caption).to_contain_text(
        "43,200 requests refused, the last after 86,398 s; 43,200 logins of at most 550 ms"
    )
    await expect(caption).to_contain_text("216,000 answered, the last after 86,399 s.")
    for name in ("up", "down", "bars", "marks"):
        drawn = [int(at) for at in re.findall(r"M(\d+)", await page.locator(f"#{name}").get_attribute("d") or "")]
        assert [any(tenth * 100 <= at < tenth * 100 + 100 for at in drawn) for tenth in range(10)] == [True] * 10, name
    if directory := os.environ.get(SCREENSHOTS):
        await page.screenshot(path=Path(directory) / "page-day.png", full_page=True)


SLOW_REPLAYS = """
() => {
  const one = { seconds: 0.01, operation: "q", method: "POST", path: "/graphql", fingerprint: "x", reason: null, login: false };
  const at = (ms) => ({ time: new Date(Date.parse("2026-01-01T00:00:00Z") + ms).toISOString() });
  for (const ms of [0, 10, 20]) take({ ...one, ...at(ms), status: 401 });
  for (const ms of [1_000, 3_000, 6_000, 9_000]) take({ ...one, ...at(ms), status: 200 });
}
"""


async def test_a_storm_lasts_until_each_refused_request_is_answered(page: Page) -> None:
    """Slow replays belong to it, also when the first of them has been answered; what is asked afterwards does not."""
    await page.evaluate(SLOW_REPLAYS)
    await expect(page.locator("#caption")).to_contain_text("3 requests refused, the last after 30 ms")
    await expect(page.locator("#caption")).to_contain_text("3 answered, the last after 6.01 s.")


async def test_each_control_has_a_button(emulator: Emulator, http: ClientSession, page: Page) -> None:
    """What a test does by code, a person does with a click, and the page says what is in force."""
    token, key = emulator.issue_token(), emulator.api_key

    async def press(name: str, **fields: str) -> None:
        form = page.locator("form[data-control]").filter(has=page.get_by_role("button", name=name))
        for label, value in fields.items():
            await form.get_by_label(label.replace("_", " ")).fill(value)
        await form.get_by_role("button").click()
        await expect(page.locator("#said")).to_contain_text(f"{name}: done at")

    await press("Revoke every token")
    assert await smoke(emulator, http, token) == 401
    token = emulator.issue_token()
    await press("Expire every token")
    assert await smoke(emulator, http, token) == 401
    await press("Rotate the API key")
    assert emulator.api_key != key
    await press("Fail logins", How_many="2", Status="429", **{"Retry-After": "1.5"})
    assert (await log_in(emulator, http)).headers["Retry-After"] == "1.5"
    await press("Refuse requests", How_many="1", Status="429", **{"Retry-After": "7"})
    limited = await answer(http.post(emulator.endpoint, json=SMOKE, headers=credentials(emulator)))
    assert limited.headers["Retry-After"] == "7"
    await press("Refuse requests", How_many="1", Status="500")
    await expect(page.locator("#now")).to_contain_text("the next 1 logins fail, the next 1 requests are refused")
    assert await smoke(emulator, http) == 500
    await press("Silence logins", Seconds="3600")
    await expect(page.locator("#now")).to_contain_text("logins are silent for 3600 s")
    await press("Silence logins", Seconds="0")
    for name, attribute in (
        ("latency", "latency"),
        ("login delay", "login_delay"),
        ("token lifetime", "token_lifetime"),
    ):
        await press(f"Set {name}", Seconds="0.25")
        assert getattr(emulator, attribute) == 0.25
    await expect(page.locator("#now")).to_contain_text("latency 0.25 s, login delay 0.25 s, token lifetime 0.25 s")
    emulator.token_lifetime = 60
    await press("Set answer", Operation="Weather", Data='{"sun": true}', Errors='["cloudy"]')
    canned = await answer(
        http.post(emulator.endpoint, json={"query": "query Weather { sun }"}, headers=credentials(emulator))
    )
    assert canned.content == {"data": {"sun": True}, "errors": [{"message": "cloudy"}]}
    await press("Reset everything")
    assert (emulator.latency, emulator.journal) == (0, ())
    buttons = await page.locator("form[data-control]").evaluate_all("(all) => all.map((one) => one.dataset.control)")
    assert sorted(buttons) == sorted(emulator._api._controls._methods)


PLACES = """
() => [...document.querySelectorAll("button, input, select, textarea, summary")].map((one) => {
  const { x, y, width, height } = one.getBoundingClientRect();
  return [one.id || one.name || one.textContent, x, y + scrollY, width, height].join(" ");
})
"""


@pytest.mark.parametrize("width", [1280, 800, 360])
async def test_no_control_moves_while_the_page_is_live(
    browser: Browser, emulator: Emulator, http: ClientSession, width: int
) -> None:
    """Whatever is recorded, said and counted: a click whose mouse button is down hits what it has aimed at."""
    async with opened(browser, emulator, viewport={"width": width, "height": 900}) as page:
        await expect(page.locator("#now")).to_contain_text("API key")
        before = await page.evaluate(PLACES)
        await storm(emulator, http)
        for status in (400, 403, 404, 429, 500, 503):
            emulator.refuse(1, status=status)
            await smoke(emulator, http)
        for _ in range(25):
            emulator.issue_token()
        emulator.silence(3600)
        emulator.fail_logins(100)
        emulator.refuse(100)
        logins = [asyncio.create_task(log_in(emulator, http)) for _ in range(9)]
        await page.evaluate("missed = 123_456; put('said', 'Set latency: '.repeat(20)); paint()")
        await expect(page.locator("#flights progress")).to_have_count(9)
        await expect(page.locator("#now")).to_contain_text("the next 100 logins fail")
        await expect(page.locator("#more")).to_contain_text("older ones")
        await expect(page.locator("#caption")).to_contain_text("50 answered")
        assert await page.evaluate(PLACES) == before
        await page.locator("#pause").click()
        emulator.silence(0)
        await asyncio.gather(*logins)
        await expect(page.locator("#pause")).to_contain_text(re.compile(r"1\d new"))
        assert await page.evaluate(PLACES) == before
        if directory := os.environ.get(SCREENSHOTS):
            await page.screenshot(path=Path(directory) / f"page-full-{width}.png", full_page=True)


async def test_a_wrong_value_is_said(emulator: Emulator, page: Page) -> None:
    """What the field lets through and the control refuses is one sentence on the page."""
    form = page.locator("form[data-control=latency]")
    await form.evaluate("(form) => { form.noValidate = true }")
    await form.get_by_label("Seconds").fill("-1")
    await form.get_by_role("button").click()
    said = page.locator("#said")
    await expect(said).to_have_text("Set latency: latency must be a number of seconds, zero or more, not -1")
    await expect(said).to_have_class(re.compile("wrong"))
    assert emulator.latency == 0
    await page.get_by_label("Operation").fill("A")
    await page.get_by_label("Data").fill("{")
    await page.get_by_role("button", name="Set answer").click()
    await expect(said).to_have_text('Set answer: the data must be JSON, such as {"jobs": []}')


async def test_a_reset_empties_the_page(emulator: Emulator, http: ClientSession, page: Page) -> None:
    """Rows, numbers, storm and tokens begin anew."""
    await storm(emulator, http, 3)
    await expect(page.locator("#caption")).to_contain_text("3 answered")
    emulator.reset()
    await expect(page.locator("#rows tr")).to_have_count(1)
    await expect(rows(page, "Control: reset")).to_have_count(1)
    await expect(page.locator("#caption")).to_contain_text("No storm yet")
    await expect(page.locator("#logins")).to_have_text("0")
    await expect(page.locator("#list")).to_have_text("none issued yet")
    assert await page.locator("#up").get_attribute("d") == ""


async def test_a_query_is_run_signed(emulator: Emulator, page: Page) -> None:
    """The box runs a query by click and by key, shows what comes back, and says what is wrong."""
    outcome, result = page.locator("#outcome"), page.locator("#result")
    await page.locator("#console").get_by_role("button", name="Run").click()
    await expect(outcome).to_have_text(re.compile(r"Status 200 after [\d.]+ m?s"))
    await expect(result).to_contain_text('"interviews"')
    text = page.locator("#text")
    await text.fill("query Roles { jobs { title } }")
    await text.press("Control+Enter")
    await expect(result).to_contain_text("Backend Engineer")
    emulator.refuse(9, status=403)
    await text.press("Control+Enter")
    await expect(outcome).to_contain_text("Status 403")
    await expect(outcome).to_have_class(re.compile("wrong"))
    await page.get_by_label("Variables").fill("{")
    await text.press("Control+Enter")
    await expect(outcome).to_have_text('the variables must be JSON, such as {"jobs": []}')
    await expect(result).to_be_hidden()
    await page.get_by_label("Variables").fill("[]")
    await text.press("Control+Enter")
    await expect(outcome).to_have_text("The variables must be a JSON object")


async def test_no_secret_is_on_the_page(emulator: Emulator, http: ClientSession, page: Page) -> None:
    """After logins, refusals, every button and a query, the page holds fingerprints alone."""
    secrets = [emulator.api_key, emulator.restricted_api_key, emulator.password, emulator.client_secret]
    login = await log_in(emulator, http)
    secrets += [login.content["data"]["login"]["token"], emulator.issue_token()]
    await storm(emulator, http, 3)
    await page.get_by_label("Operation").fill(emulator.api_key)
    await page.get_by_label("Data").fill("{}")
    *others, reset = sorted(
        await page.locator("form[data-control] button").all_inner_texts(), key=lambda name: "Reset" in name
    )
    for name in (*others, reset):
        await page.get_by_role("button", name=name).click()
        await expect(page.locator("#said")).to_contain_text(f"{name}: done at")
    await page.get_by_label("Operation").fill("")
    secrets.append(emulator.api_key)
    await page.locator("#console button").click()
    await expect(page.locator("#outcome")).to_contain_text("Status 200")
    await expect(rows(page, "Interviews").locator(".token")).to_have_text(emulator.journal[-1].fingerprint or "")
    shown = await everything(page)
    assert [secret for secret in secrets if secret in shown] == []


async def test_it_is_used_by_keyboard(emulator: Emulator, http: ClientSession, page: Page) -> None:
    """Tab reaches everything that can be used, in the order in which it stands there, and shows where it is."""
    token = emulator.issue_token()
    reached: list[str] = []
    unseen: list[str] = []
    for _ in range(60):
        await page.keyboard.press("Tab")
        name, outline = await page.evaluate(
            "[document.activeElement.id || document.activeElement.textContent.trim().slice(0, 30) || document.activeElement.name, "
            "getComputedStyle(document.activeElement).outlineStyle]"
        )
        if await page.evaluate("document.activeElement === document.body"):  # all have been reached
            break
        reached.append(name)
        unseen += [name] if outline != "solid" else []
        if name == "Revoke every token":
            await page.keyboard.press("Enter")
            await expect(page.locator("#said")).to_contain_text("Revoke every token: done")
    assert unseen == []
    wanted = ["Storm", "filter", "kind", "pause", "Revoke every token", "Reset everything", "Set token lifetime"]
    wanted += ["text", "variables", "Run", "Without this page"]
    assert [name for name in reached if name in wanted] == wanted
    assert await smoke(emulator, http, token) == 401


async def test_motion_is_reduced_where_it_is_asked_for(browser: Browser, emulator: Emulator) -> None:
    """Nothing moves for people who do not want it."""
    async with opened(browser, emulator, reduced_motion="reduce") as page:
        moving = "[...document.querySelectorAll('*')].filter((one) => { const style = getComputedStyle(one); "
        moving += "return style.transitionDuration !== '0s' || style.animationName !== 'none' }).length"
        assert await page.evaluate(moving) == 0


async def test_a_thousand_requests_a_second_do_not_freeze_it(
    emulator: Emulator, http: ClientSession, page: Page
) -> None:
    """The page goes on drawing and answers a click, keeps 500 rows, and counts all of them."""
    await page.evaluate(
        "{ window.longest = 0; let last = performance.now();"
        "const frame = (now) => { longest = Math.max(longest, now - last); last = now; requestAnimationFrame(frame) };"
        "requestAnimationFrame(frame) }"
    )
    token, seconds, each = emulator.issue_token(), 3, 50
    headers, begun = credentials(emulator, token), time.monotonic()

    async def one() -> None:
        async with http.post(emulator.endpoint, json={"query": "{ __typename }"}, headers=headers) as response:
            await response.read()

    async def send() -> None:
        for number in range(seconds * 1000 // each):
            await asyncio.gather(*(one() for _ in range(each)))
            await asyncio.sleep(max(0.0, begun + (number + 1) * each / 1000 - time.monotonic()))

    sending = asyncio.create_task(send())
    await asyncio.sleep(1)
    await page.locator("form[data-control=expire] button").click(timeout=5_000)
    await expect(page.locator("#said")).to_contain_text("Expire every token: done", timeout=5_000)
    await sending
    await expect(page.locator("#statuses")).to_contain_text("401:")
    await until(lambda: emulator.stats().requests == seconds * 1000)
    await page.wait_for_function(
        "(total) => ['answered', 'refused'].reduce((sum, id) => sum + Number($(id).textContent.replaceAll(',', '')), 0) === total",
        arg=seconds * 1000,
    )
    assert await page.locator("#rows tr").count() == 500
    assert await page.evaluate("longest") < 3000  # milliseconds; idle, it is a tenth of a second


async def test_the_emulator_stops_at_once_and_the_page_finds_it_again(
    emulator: Emulator, http: ClientSession, page: Page
) -> None:
    """An open page holds nothing up, says that the emulator has stopped, and goes on without a row twice."""
    await smoke(emulator, http)
    await expect(page.locator("#rows tr")).to_have_count(1)
    assert emulator._runner is not None
    emulator._runner._shutdown_timeout = 3600  # what the stop would wait for a stream that does not end
    begun = time.monotonic()
    await emulator.stop()
    assert time.monotonic() - begun < 60
    await expect(page.locator("#live")).to_have_text("stopped, or out of reach; trying again")
    await emulator.start()
    await expect(page.locator("#live")).to_have_text("live")
    async with ClientSession() as another:
        await smoke(emulator, another)
    await expect(page.locator("#rows tr")).to_have_count(2)


async def test_old_numbers_are_called_old(emulator: Emulator, page: Page) -> None:
    """A stream that is open and silent is not called live."""
    await page.evaluate(
        "heard = performance.now() - 60_000; source.close(); Object.defineProperty(source, 'readyState', { value: 1 })"
    )
    await expect(page.locator("#live")).to_have_text(re.compile(r"no news for \d\d s"))


async def test_a_page_that_nobody_sees_gives_its_connection_back(
    emulator: Emulator, http: ClientSession, page: Page
) -> None:
    """Six hidden pages would leave a browser no connection for the seventh; shown again, the page goes on."""
    await page.evaluate(
        "Object.defineProperty(document, 'hidden', { get: () => window.away, configurable: true }); away = true"
    )
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert await page.evaluate("source") is None
    await smoke(emulator, http)
    await page.evaluate("away = false; document.dispatchEvent(new Event('visibilitychange'))")
    await expect(page.locator("#rows tr")).to_have_count(1)


async def test_without_script_it_says_where_the_numbers_are(browser: Browser, emulator: Emulator) -> None:
    """The page is not empty for those who allow no script."""
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(emulator.page)
    await expect(page.get_by_role("link", name="/journal")).to_be_visible()
    await context.close()
