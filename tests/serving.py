"""A service in a thread of the test, on a free port of this machine."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn

from blackbox.service.app import create_app
from blackbox.service.running import listening, options
from blackbox.service.settings import Ceilings, Settings

SAMPLES = Path(__file__).parents[1] / "sample_models"
X3 = [1.0, 0.5, -1.0]
SOFTMAX = str(SAMPLES / "toys" / "softmax.onnx")


@contextmanager
def serving(*models, change=lambda app: None, wait=True, **settings):
    """Yield an httpx client of a running service; its desk is ``client.desk``."""
    ceilings = Ceilings(**settings.pop("ceilings", {}))
    settings.setdefault("sandbox", False)  # a process for each model would make every test slow
    app = create_app(Settings(models=tuple(map(str, models)), ceilings=ceilings, **settings))
    change(app)
    sock = listening("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, **options(app.state.desk.settings) | {"log_config": None}))
    thread = threading.Thread(target=server.run, args=([sock],), daemon=True)
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{sock.getsockname()[1]}", timeout=30) as client:
        client.desk = app.state.desk
        until(lambda: server.started)
        if wait:
            until(lambda: client.get("/v2/health/ready").status_code == 200)
        try:
            yield client
        finally:
            server.should_exit = True
            thread.join(timeout=20)
            sock.close()


def until(true, seconds=20):
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)
