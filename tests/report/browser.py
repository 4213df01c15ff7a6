"""A headless Chromium that looks at a page, driven over its debugging pipe; nothing beside Python is needed."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--remote-debugging-pipe",
)  # fmt: skip
_PATIENCE = 60.0  # seconds for an answer
_QUIET = 0.3  # seconds without an event after which a page is taken to be done

# What is wider than the page, unless a box that scrolls holds it; pictures that did not load; letters by their size;
# in tables numbers, and words of at most ten letters, that do not stand on one line.
LOOK = r"""(() => {
  const width = document.documentElement.clientWidth;
  const inBox = node => node.closest('.scroll, pre, nav') !== null;
  const wide = [...document.querySelectorAll('body *')].filter(
    node => !inBox(node) && !node.classList.contains('skip') && node.getBoundingClientRect().right > width + 0.5);
  const pictures = [...document.images].filter(picture => !picture.complete || !picture.naturalWidth);
  const small = [...document.querySelectorAll('svg.chart text')].filter(node => {
    const box = node.ownerSVGElement;
    return box.getBoundingClientRect().width &&
      12 * box.getBoundingClientRect().width / box.viewBox.baseVal.width < 10.5; });
  const pieces = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const cell = node.parentElement.closest('th, td');
    if (!cell || !cell.getClientRects().length) continue;
    for (const word of node.textContent.matchAll(/\S+/g)) {
      const range = document.createRange();
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      const lines = new Set([...range.getClientRects()].map(box => Math.round(box.top)));
      if (lines.size > 1 && (word[0].length <= 10 || cell.matches('td.number'))) pieces.push(word[0]);
    }
  }
  return {
    scrollWidth: document.documentElement.scrollWidth, width,
    wide: wide.map(node => node.outerHTML.slice(0, 120)),
    pictures: pictures.map(picture => picture.alt), images: document.images.length,
    small: small.map(node => node.textContent), pieces,
    scripts: document.scripts.length, charts: document.querySelectorAll('svg.chart').length,
    unnamed: [...document.querySelectorAll('svg.chart')].filter(node => !node.getAttribute('aria-label')).length,
    background: getComputedStyle(document.body).backgroundColor, ink: getComputedStyle(document.body).color,
    text: document.body.innerText,
  };
})()"""


def chromium() -> str | None:
    """Where a Chromium is, None without one."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@dataclass
class Seen:
    """What a page looked like and what it did: `facts` of LOOK, complaints, addresses it asked for."""

    facts: dict[str, Any]
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


class Browser:
    """One Chromium with one page."""

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive = send, receive
        self._buffer = b""
        self._count = 0
        self._events: list[dict[str, Any]] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def look(self, path: Path, *, width: int, dark: bool, paper: bool = False, screenshot: Path | None = None) -> Seen:
        """Open a file at a width in a colour scheme, or as on paper, wait until all is still, and look at it."""
        scheme = "dark" if dark else "light"
        medium = "print" if paper else "screen"
        self._call(
            "Emulation.setEmulatedMedia", media=medium, features=[{"name": "prefers-color-scheme", "value": scheme}]
        )
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self._events.clear()
        self._call("Page.navigate", url=path.resolve().as_uri())
        self._wait_until_quiet()
        facts = self._call("Runtime.evaluate", expression=LOOK, returnByValue=True)["result"]["value"]
        seen = Seen(facts)
        for event in self._events:
            name, about = event["method"], event["params"]
            if name in (
                "Runtime.exceptionThrown",
                "Runtime.consoleAPICalled",
                "Log.entryAdded",
                "Network.loadingFailed",
            ):
                seen.complaints.append(json.dumps(about)[:400])
            elif name == "Network.requestWillBeSent":
                seen.requests.append(about["request"]["url"])
        if screenshot is not None:
            shot = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
            screenshot.write_bytes(base64.b64decode(shot["data"]))
        return seen

    def _wait_until_quiet(self) -> None:
        ends = time.monotonic() + _PATIENCE
        while time.monotonic() < ends:
            if not self._read(_QUIET) and any(event["method"] == "Page.loadEventFired" for event in self._events):
                return
        raise TimeoutError("the page does not load")

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": params}
        if hasattr(self, "_session") and not method.startswith("Target."):
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        ends = time.monotonic() + _PATIENCE
        while time.monotonic() < ends:
            for answer in self._read(1.0):
                if answer.get("id") == self._count:
                    assert "error" not in answer, answer
                    return dict(answer["result"])
        raise TimeoutError(method)

    def _read(self, seconds: float) -> list[dict[str, Any]]:
        """The messages that come within some seconds; events are kept."""
        if not select.select([self._receive], [], [], seconds)[0]:
            return []
        self._buffer += os.read(self._receive, 1 << 20)
        *whole, self._buffer = self._buffer.split(b"\0")
        messages = [json.loads(text) for text in whole]
        self._events += [message for message in messages if "method" in message]
        return messages or [{}]


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A Chromium for the time of a ``with`` statement; `profile` is a folder of its own."""
    path = chromium()
    assert path is not None
    to_read, to_send = os.pipe()
    from_read, from_send = os.pipe()

    # Chromium reads commands from file 3 and writes answers to file 4
    redirected = f'exec "$0" "$@" 3</proc/self/fd/{to_read} 4>/proc/self/fd/{from_send}'
    process = subprocess.Popen(
        ["/bin/sh", "-c", redirected, path, *OPTIONS, f"--user-data-dir={profile}", "about:blank"],
        pass_fds=(to_read, from_send),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_read)
    os.close(from_send)
    try:
        yield Browser(to_send, from_read)
    finally:
        process.terminate()
        process.wait(20)
        os.close(to_send)
        os.close(from_read)
