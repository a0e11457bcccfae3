"""The page in a real browser: the whole story, the graph and its history by hand, and who sees what."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from .conftest import Server

PHONE = {"width": 360, "height": 740}
TIMEOUT = 30_000
"""Milliseconds: the model and the browser may share two cores with other work."""
expect.set_options(timeout=TIMEOUT)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a server's page as somebody new; nothing may be asked of another host, and no script may fail."""
    pages: list[tuple[Page, Server, list[str], list[str]]] = []

    def open(server: Server, key: str = "", **options: Any) -> Page:
        page = browser.new_context(**options).new_page()
        page.set_default_timeout(TIMEOUT)
        asked: list[str] = []
        failed: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda socket: asked.append(socket.url.replace("ws:", "http:")))
        page.on("pageerror", lambda error: failed.append(str(error)))
        page.goto(server.url)
        if key:
            page.get_by_label("API key").fill(key)
            page.keyboard.press("Enter")
        pages.append((page, server, asked, failed))
        return page

    yield open
    for page, server, asked, failed in pages:
        page.context.close()
        assert any("transport=websocket" in url for url in asked) and not any(
            "transport=polling" in url for url in asked
        )
        assert [url for url in asked if not url.startswith((server.url, "data:"))] == []
        assert failed == []


def say(page: Page, message: str) -> None:
    box = page.get_by_role("textbox", name="Message")
    box.fill(message)
    box.press("Enter")
    expect(page.locator(".message.theirs").last.locator(".provenance, .card").last).to_be_visible()


def row(page: Page, fact: str) -> Any:
    return page.locator(".rows .row").filter(has_text=fact)


def test_the_story_ask_correct_see_the_change_ask_again_undo(server: Server, visit: Callable[..., Page]) -> None:
    page = visit(server)
    expect(page.get_by_text("Nothing is known about you yet")).to_be_visible()

    say(page, "What does my dog eat?")
    reply = page.locator(".message.theirs").last
    expect(reply).to_contain_text("meat")
    expect(reply.locator(".provenance")).to_have_text(re.compile(r"From ?dog capable of eat meat ?P\(z\|q\) 0\.\d\d"))

    say(page, "No, my dog is vegetarian.")
    card = page.locator(".card").last
    both = r" ?P\(a\|q,z\) 0\.\d\d ?P\(z\|q\) 0\.\d\d"
    expect(card.locator(".added")).to_have_text(re.compile(rf"\+ ?my dog is vegetarian{both}"))
    expect(card.locator(".removed")).to_have_text(re.compile(rf"− ?dog capable of eat meat{both}"))
    picture = page.locator(".chart svg")
    expect(picture.locator("path[stroke='var(--added)']")).not_to_have_count(0)
    expect(picture.locator("path[stroke='var(--removed)'][stroke-dasharray]")).not_to_have_count(0)
    expect(row(page, "vegetarian")).to_have_class(re.compile("added"))

    say(page, "What should I feed my dog?")
    expect(page.locator(".message.theirs").last.locator(".text")).to_contain_text("vegetarian")
    expect(page.locator(".provenance").last).to_contain_text("my dog is vegetarian")
    expect(picture.locator("path[stroke='var(--accent)']")).not_to_have_count(0)
    expect(row(page, "vegetarian")).to_have_class(re.compile("used"))

    card.get_by_role("button", name="Undo").click()
    expect(card.get_by_role("button", name="Redo")).to_be_visible()
    expect(row(page, "vegetarian")).to_have_count(0)
    say(page, "What does my dog eat?")
    expect(page.locator(".provenance").last).to_contain_text("eat meat")

    card.get_by_role("button", name="Redo").click()
    expect(row(page, "vegetarian")).to_be_visible()
    expect(card.get_by_role("button", name="Undo")).to_be_visible()


def test_an_answer_without_a_fact_says_so(server: Server, visit: Callable[..., Page]) -> None:
    page = visit(server)
    say(page, "Who wrote Hamlet?")
    expect(page.locator(".provenance").last).to_have_text("No stored fact was used.")


def test_a_fact_is_added_found_edited_and_deleted_by_hand(server: Server, visit: Callable[..., Page]) -> None:
    with server.client() as http:
        others = [{"subject": f"friend {i}", "relation": "lives in", "object": f"town {i}"} for i in range(30)]
        http.post("/api/facts", json={"triples": others})
    page = visit(server)
    page.get_by_role("button", name="Add a fact").click()
    for part, value in {"Subject": "Rex", "Relation": "owner", "Object": "Ana"}.items():
        page.get_by_label(part).fill(value)
    page.get_by_role("button", name="Save").click()
    expect(row(page, "Rex")).to_contain_text("Rex owner Ana")
    expect(page.get_by_label("Subject")).to_be_hidden()

    page.keyboard.press("/")
    expect(page.get_by_label("Search facts")).to_be_focused()
    page.keyboard.type("ana OWNER")
    expect(page.locator(".rows .row")).to_have_count(1)

    row(page, "Rex").get_by_role("button", name="Edit").click()
    page.get_by_label("Object").fill("Ben")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Object")).to_be_hidden()
    expect(page.get_by_text("No fact is found.")).to_be_visible()
    page.get_by_label("Search facts").press("Escape")
    expect(row(page, "Rex")).to_contain_text("Ben")
    assert server.service.store.history("me")[0].removed[0].triple.object == "Ana"  # both in one edit

    row(page, "Rex").get_by_role("button", name="Delete").click()
    expect(row(page, "Rex")).to_have_count(0)
    page.locator("h1").click()
    page.keyboard.press("Control+z")
    expect(row(page, "Rex")).to_contain_text("Ben")


def test_clicking_an_entity_lists_its_facts(server: Server, visit: Callable[..., Page]) -> None:
    with server.client() as http:
        for subject, object in (("Rex", "Ana"), ("Tom", "Ben")):
            http.post("/api/facts", json={"triples": [{"subject": subject, "relation": "owner", "object": object}]})
    page = visit(server)
    page.locator(".chart svg text", has_text="Rex").click()
    expect(page.get_by_text("About Rex")).to_be_visible()
    expect(page.locator(".rows .row")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator(".rows .row")).to_have_count(2)


def test_the_history_comes_in_pages_and_undoes_any_edit(server: Server, visit: Callable[..., Page]) -> None:
    with server.client() as http:
        for i in range(25):
            http.post("/api/facts", json={"triples": [{"subject": "I", "relation": "like", "object": f"tea {i}"}]})
    page = visit(server)
    page.get_by_role("button", name="History").click()
    entries = page.locator(".timeline .edit")
    expect(entries).to_have_count(20)
    expect(entries.first).to_contain_text("tea 24")
    page.get_by_role("button", name="Show older edits").click()
    expect(entries).to_have_count(25)
    entries.last.get_by_role("button", name="Undo").click()
    expect(entries.first).to_contain_text("Undone #1")
    expect(entries.last).to_contain_text("undone by #26")
    entries.first.get_by_role("button", name="Redo").click()
    expect(entries.last.get_by_role("button", name="Undo")).to_be_visible()


def test_an_edit_from_elsewhere_appears(server: Server, visit: Callable[..., Page]) -> None:
    page = visit(server)
    expect(page.get_by_text("0 facts")).to_be_visible()
    with server.client() as http:
        http.post("/api/facts", json={"triples": [{"subject": "I", "relation": "live in", "object": "Cork"}]})
    expect(row(page, "Cork")).to_be_visible()


def test_what_is_wrong_is_said_with_what_to_do(server: Server, visit: Callable[..., Page]) -> None:
    page = visit(server)
    page.get_by_role("button", name="Add a fact").click()
    page.get_by_label("Relation").fill("owner")
    page.get_by_role("button", name="Save").click()
    toast = page.get_by_role("alert")
    expect(toast).to_contain_text("subject is empty")
    expect(toast).to_contain_text("Give all three")
    page.keyboard.press("Escape")
    expect(page.get_by_label("Relation")).to_be_hidden()


def test_what_users_write_is_text_and_no_markup(server: Server, visit: Callable[..., Page]) -> None:
    markup = "<img src=x onerror='document.title=1'>{{7*7}}"
    with server.client() as http:
        http.post("/api/facts", json={"triples": [{"subject": markup, "relation": markup, "object": markup + "b"}]})
    page = visit(server)
    expect(row(page, markup)).to_be_visible()
    page.get_by_role("button", name="History").click()
    expect(page.locator(".timeline .edit")).to_contain_text(markup)
    expect(page).to_have_title("KGT")
    expect(page.locator("main img")).to_have_count(0)


def test_the_theme_follows_the_system_until_one_is_chosen(server: Server, visit: Callable[..., Page]) -> None:
    page = visit(server, color_scheme="dark")
    dark, light = "rgb(21, 23, 27)", "rgb(251, 250, 248)"
    expect(page.locator("body")).to_have_css("background-color", dark)
    page.emulate_media(color_scheme="light")
    expect(page.locator("body")).to_have_css("background-color", light)
    for name in ("light", "dark"):
        page.locator(".button.theme").click()
        expect(page.locator(".button.theme")).to_have_attribute("aria-label", f"Theme: {name}")
    page.reload()
    expect(page.locator("body")).to_have_css("background-color", dark)


def test_on_a_phone_one_view_at_a_time_and_nothing_sticks_out(server: Server, visit: Callable[..., Page]) -> None:
    with server.client() as http:
        long = {"subject": "Donaudampfschifffahrtsgesellschaft" * 3, "relation": "is", "object": "x" * 300}
        http.post("/api/facts", json={"triples": [long]})
    page = visit(server, viewport=PHONE, has_touch=True)
    for tab, shown in {"Chat": "Message", "Graph": "Search facts", "History": "Edits"}.items():
        page.get_by_role("navigation").get_by_role("button", name=tab).click()
        expect(page.get_by_label(shown, exact=True)).to_be_visible()
        expect(page.get_by_label("Search facts")).to_be_visible(visible=tab == "Graph")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    expect(page.locator(".timeline .edit")).to_be_visible()
    assert page.evaluate("document.querySelector('.history').scrollWidth") <= PHONE["width"]


def test_where_there_are_keys_one_signs_in(server: Server, visit: Callable[..., Page]) -> None:
    key = server.key("ana")
    page = visit(server, "kgt_made-up")
    expect(page.get_by_role("alert")).to_contain_text("not known")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".user")).to_have_text("ana")
    assert key not in page.url and key not in page.content()
    (cookie,) = [c for c in page.context.cookies() if c["value"] == key]
    assert cookie["httpOnly"] and cookie["sameSite"] == "Lax"
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    assert page.context.cookies() == []


def test_the_page_closes_when_its_key_is_removed(server: Server, visit: Callable[..., Page]) -> None:
    page = visit(server, server.key("ana"))
    expect(page.locator(".user")).to_have_text("ana")
    ((hash, _),) = server.service.store.keys("ana")
    server.key("ben")
    server.service.store.remove_key(hash)
    expect(page.get_by_label("API key")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("no longer valid")


def test_two_users_see_nothing_of_each_other(server: Server, visit: Callable[..., Page]) -> None:
    ana, ben = visit(server, server.key("ana")), visit(server, server.key("ben"))
    say(ana, "My favourite colour is green.")
    say(ben, "My favourite colour is red.")
    for page, mine, other in ((ana, "green", "red"), (ben, "red", "green")):
        expect(row(page, mine)).to_be_visible()
        say(page, "What is my favourite colour?")
        expect(page.locator(".message.theirs").last).to_contain_text(mine)
        assert not re.search(rf"\b{other}\b", page.locator("body").inner_text())


def test_without_its_model_graph_and_history_still_work(
    serve: Callable[..., Server], visit: Callable[..., Page]
) -> None:
    server = serve(loads=False)
    with server.client() as http:
        http.post("/api/facts", json={"triples": [{"subject": "I", "relation": "live in", "object": "Cork"}]})
    page = visit(server)
    expect(page.get_by_role("status")).to_contain_text("The model could not be loaded")
    expect(row(page, "Cork")).to_be_visible()
    page.get_by_role("textbox", name="Message").fill("Where do I live?")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("no/such/model")
    expect(page.get_by_role("textbox", name="Message")).to_have_value("Where do I live?")


def test_nobody_is_signed_in_from_another_site(server: Server) -> None:
    key = server.key("ana")
    with server.client(Origin="https://evil.example") as http:
        refused = http.post("/signin", data={"key": key})
        assert refused.status_code == 403 and "set-cookie" not in refused.headers


def test_nobody_shows_the_page_in_theirs(server: Server) -> None:
    with server.client() as http:
        assert "frame-ancestors 'none'" in http.get("/").headers["content-security-policy"]


def test_of_two_servers_in_a_process_the_first_has_the_page(serve: Callable[..., Server]) -> None:
    with serve().client() as first, serve().client() as second:
        assert first.get("/").status_code == 200
        refused = second.get("/")
        assert refused.status_code == 503 and "Another server" in refused.json()["detail"]
        assert second.get("/api/me").status_code == 200


def test_the_description_of_the_api_is_read_without_another_host(server: Server, browser: Browser) -> None:
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{server.url}/docs")
    expect(page.get_by_text("/api/teach")).to_be_visible()
    assert [url for url in asked if not url.startswith((server.url, "data:"))] == []
    page.close()
