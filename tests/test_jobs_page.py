"""The page of audits in a real browser: live progress, the result, and a stop by keyboard."""

from __future__ import annotations

import pytest
from browser import opened
from test_jobs import asked, ended, server


@pytest.mark.slow
def test_a_person_watches_audits_and_stops_one(tmp_path):
    with server(tmp_path / "jobs") as (client, _), opened(tmp_path) as page:
        page.open(str(client.base_url) + "/jobs")
        assert page.wait("document.querySelector('h1')?.textContent === 'Audits'")
        assert "POST /v1/audits" in page.evaluate("document.body.innerText")
        done, wrong = asked(client, 3), asked(client, 2, targets=["nobody"])
        ended(client, done), ended(client, wrong)
        long, next_one = asked(client, 120), asked(client, 120)
        page.open(str(client.base_url) + "/jobs")
        assert page.wait("document.querySelectorAll('.jobs li').length === 4")
        states = "[...document.querySelectorAll('.jobs .state')].map(e => e.textContent).join()"
        assert page.wait(f"{states} === 'waiting,running,failed,succeeded'", 30)
        assert page.wait("document.querySelectorAll('progress')[1].value > 2", 60)  # moved without a reload
        text = page.evaluate("document.body.innerText")
        assert "Every gate held" in text
        assert "Unknown target 'nobody'" in text
        page.shoot(tmp_path / "jobs.png")
        assert (tmp_path / "jobs.png").stat().st_size > 10_000
        page.evaluate("document.querySelectorAll('form.plain button')[1].focus()")
        page.press("Enter")
        assert page.wait(f"{states}.split(',')[1] === 'cancelled'", 30)
        assert client.get(long["url"]).json()["state"] == "cancelled"
        client.delete(next_one["url"])
        assert page.wait(f"{states}.split(',')[0] === 'cancelled'", 30)  # the stream told it
        assert not [told for told in page.trouble if "favicon" not in told]
        assert all(url.startswith(str(client.base_url)) or url == "about:blank" for url in page.asked)
