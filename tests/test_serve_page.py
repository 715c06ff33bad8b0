"""The page: what it renders, what it refuses, and how a person gets through it by mouse and by keyboard."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from browser import opened
from serving import SAMPLES, SOFTMAX, serving

APPLICANTS = SAMPLES / "credit" / "applicants.csv"
THREE = SAMPLES / "digits" / "images28" / "3-1460.png"


@pytest.fixture(scope="module")
def service():
    with serving(SAMPLES / "credit", SAMPLES / "digits", SOFTMAX) as client:
        yield client


def text_of(page):
    """What a person reads, tags taken out."""
    return " ".join(re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", page, flags=re.S).split())


def post(service, model, content=None, name="rows.csv", **fields):
    files = {"file": (name, content)} if content is not None else None
    return service.post(f"/models/{model}", data=fields, files=files)


def test_the_front_page_shows_every_model(service):
    got = service.get("/")
    assert got.headers["content-type"] == "text/html; charset=utf-8"
    for name in ("credit", "cnn", "mlp", "cnn28", "softmax"):
        assert f'href="/models/{name}"' in got.text
    assert "the background's: all 100 rows given" in text_of(got.text).replace("&#39;", "'")


def test_pages_load_nothing_from_elsewhere_and_may_not_be_framed(service):
    for path in ("/", "/models/credit"):
        got = service.get(path)
        policy = got.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "script-src 'self'" in policy
        assert re.findall(r'(?:src|href|action)="(?!/|#|data:)([^"]*)"', got.text) == []
    assert service.get("/page.js").headers["content-type"].startswith("text/javascript")


def test_a_row_of_a_table_is_explained(service):
    got = post(service, "credit", APPLICANTS.read_bytes(), row="A-002", method="kernelshap", target="declined")
    assert got.status_code == 200
    words = text_of(got.text)
    for word in ("A-002, declined: score 0.9941", "Yearly income", "forward rows", "the other 4 features"):
        assert word in words
    assert got.text.count('class="bar"') == 18
    assert "&#34;schema&#34;: &#34;blackbox.explanation/1&#34;" in got.text


@pytest.mark.parametrize("text", ["1, 0.5, -1", "x0,x1,x2\n1,0.5,-1", "x0,x1,x2\r\n9,9,9\r\n1,0.5,-1\r\n"])
def test_a_pasted_row_is_explained(service, text):
    last = str(len(text.split()) - 2) if "9" in text else ""
    got = post(service, "softmax", text=text, method="occlusion", target="", row=last)
    assert got.status_code == 200, text_of(got.text)
    assert "0: score 1.006" in text_of(got.text)


def test_a_picture_is_explained_as_a_picture(service):
    got = post(service, "cnn28", THREE.read_bytes(), "3.png", method="kernelshap")
    assert got.text.count('src="data:image/png;base64,') == 2
    assert "3: score 22.5" in text_of(got.text)
    got = post(service, "cnn", THREE.read_bytes(), "3.PNG", method="sis", target="3")
    assert "sufficient subset 1" in got.text


def huge_array():
    """An .npy file that declares eight terabytes and holds none."""
    head = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head


WRONG = {
    "nothing": ({"text": " "}, 422, "Drop a file"),
    "text": ({"text": "1,lots,3"}, 422, "lots"),
    "columns": ({"text": "1,2"}, 422, "3 columns"),
    "kind": ({"content": b"x", "name": "x.exe"}, 422, "must be one of"),
    "picture": ({"content": THREE.read_bytes(), "name": "a.png"}, 422, "picture"),
    "pickle": ({"content": b"\x80\x04N.", "name": "a.npy"}, 422, "without pickle"),
    "packed": ({"content": b"x", "name": "a.parquet"}, 422, "must be one of"),
    "huge": ({"content": huge_array(), "name": "a.npy"}, 422, "could not be explained"),
    "row": ({"text": "1,2,3", "row": "7"}, 422, "Row 7"),
    "method": ({"text": "1,2,3", "method": "magic"}, 422, "magic"),
    "target": ({"text": "1,2,3", "target": "9"}, 422, "0 to 2"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_explained_is_told_on_the_page(service, case):
    fields, status, words = WRONG[case]
    got = post(service, "softmax", **fields)
    assert got.status_code == status
    assert words in text_of(got.text)
    assert 'role="alert"' in got.text
    assert "/tmp" not in got.text


def test_names_from_outside_are_escaped_and_never_opened(service, tmp_path):
    (tmp_path / "secret.csv").write_text("x0,x1,x2\n1,2,3\n")
    got = post(service, "softmax", b"x0,x1,x2\n4,5,6\n", str(tmp_path / "secret.csv"), method="occlusion")
    assert got.status_code == 200
    assert "<td class=\"held\">4</td>" in got.text
    evil = post(service, "softmax", text="<script>alert(1)</script>", row='"><script>', method="occlusion")
    assert "<script>alert" not in evil.text
    assert '"><script>' not in evil.text


def test_a_broken_or_oversized_form_is_told(service):
    headers = {"Content-Type": "multipart/form-data; boundary=a"}
    assert service.post("/models/softmax", content=b"xx", headers=headers).status_code == 400
    assert service.post("/models/softmax", content=b" " * (2**25 + 1), headers=headers).status_code == 413
    assert service.post("/models/softmax", content=b"", headers={"Content-Type": "text/plain"}).status_code == 422
    assert service.get("/models/nope").status_code == 404


class Labels(HTMLParser):
    """Which controls of a form stand inside a label."""

    def __init__(self):
        super().__init__()
        self.depth, self.bare = 0, []

    def handle_starttag(self, tag, attrs):
        self.depth += tag == "label"
        if tag in ("input", "select", "textarea") and not self.depth:
            self.bare.append(dict(attrs).get("name"))

    def handle_endtag(self, tag):
        self.depth -= tag == "label"


@pytest.mark.parametrize("model", ["credit", "cnn28"])
def test_every_control_has_a_label(service, model):
    page = service.get(f"/models/{model}").text
    labels = Labels()
    labels.feed(page)
    assert labels.bare == []
    assert '<html lang="en">' in page
    assert 'href="#main"' in page


def shots():
    """Where pictures of the page go for whoever wants to look at them."""
    folder = os.environ.get("BLACKBOX_SHOTS")
    return Path(folder) if folder else None


@pytest.mark.slow
def test_a_person_gets_through_it_by_keyboard(service, tmp_path):
    with opened(tmp_path) as tab:
        tab.open(f"{service.base_url}/")
        assert tab.wait("location.pathname === '/' && document.readyState === 'complete'")
        links = tab.evaluate("document.querySelectorAll('.skip, nav a').length")
        tab.press("Tab", links + 1)  # past the skip link and the navigation to the first model
        assert tab.evaluate("document.activeElement.textContent") == "credit"
        tab.press("Enter")
        assert tab.wait("location.pathname === '/models/credit' && document.readyState === 'complete'")
        tab.evaluate("document.querySelector('textarea').focus()")
        row = APPLICANTS.read_text().splitlines()
        tab.type(row[0] + "\n" + row[2])
        tab.press("Tab", 4)
        assert tab.evaluate("document.activeElement.textContent") == "Explain"
        tab.press("Enter")
        assert tab.wait("document.querySelector('#result h2') !== null")
        assert tab.evaluate("document.activeElement.textContent") == "A-002, declined: score 0.9941"
        assert tab.evaluate("location.pathname") == "/models/credit"
        assert tab.evaluate("document.querySelectorAll('#result .bar').length") == 18
        assert tab.evaluate("document.querySelector('button').disabled") is False
        assert tab.trouble == []
        assert {address.split("/")[2] for address in tab.asked if not address.startswith("data:")} == {
            service.base_url.netloc.decode()
        }
        if shots():
            tab.shoot(shots() / "keyboard.png")


@pytest.mark.slow
def test_a_file_is_dropped_chosen_and_told_when_wrong(service, tmp_path):
    with opened(tmp_path) as tab:
        tab.open(f"{service.base_url}/models/cnn28")
        assert tab.wait("location.pathname === '/models/cnn28' && document.readyState === 'complete'")
        tab.choose_file("input[type=file]", THREE)
        tab.evaluate("document.querySelector('form').requestSubmit()")
        assert tab.wait("document.querySelectorAll('#result img').length === 2")
        assert tab.evaluate("[...document.images].every(image => image.naturalWidth > 100)")
        if shots():
            tab.shoot(shots() / "digit.png")
        tab.open(f"{service.base_url}/models/softmax")
        assert tab.wait("location.pathname === '/models/softmax' && document.readyState === 'complete'")
        tab.evaluate("""
            const moved = new DataTransfer();
            moved.items.add(new File(["x0,x1,x2\\n1,0.5,-1\\n"], "dropped.csv"));
            document.querySelector(".drop").dispatchEvent(
                new DragEvent("drop", {dataTransfer: moved, bubbles: true, cancelable: true}));
            document.querySelector("form").requestSubmit();
        """)
        assert tab.wait("document.querySelector('#result h2') !== null")
        assert tab.evaluate("document.querySelector('#result h2').textContent") == "0: score 1.006"
        tab.evaluate("document.querySelector('textarea').value = 'a,b'; document.querySelector('input').value = ''")
        tab.evaluate("document.querySelector('form').requestSubmit()")
        assert tab.wait("document.querySelector('[role=alert]') !== null")
        assert "could not be explained" in tab.evaluate("document.activeElement.textContent")
        assert [line for line in tab.trouble if "422" not in line] == []
