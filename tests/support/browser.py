"""A page in a headless Chromium, driven by Selenium, and what a user does to it."""

import io
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image


@contextmanager
def chromium(profile):
    """A browser with its profile in this folder; skips where it or Selenium is missing."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("chromium or chromedriver is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (
        *("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run"),
        *("disable-background-networking", "disable-component-update", "disable-sync"),
        *("disable-dev-shm-usage", f"user-data-dir={profile}"),
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    window = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    window.set_script_timeout(120)
    yield window
    window.quit()


CONTRASTS = """
const g = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
const rgba = (colour) => {
  g.clearRect(0, 0, 1, 1), g.fillStyle = colour, g.fillRect(0, 0, 1, 1);
  return [...g.getImageData(0, 0, 1, 1).data];
};
const light = (colour) => rgba(colour).slice(0, 3).map((v) => v / 255).reduce((sum, v, k) =>
  sum + [0.2126, 0.7152, 0.0722][k] * (v > 0.04045 ? ((v + 0.055) / 1.055) ** 2.4 : v / 12.92), 0);
const own = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
const seen = [...document.querySelectorAll("body *")].filter(own);
return seen.filter((e) => e.getClientRects().length).map((e) => {
  const style = getComputedStyle(e), name = e.className.baseVal === undefined ? "color" : "fill";
  let behind = e;
  while (rgba(getComputedStyle(behind).backgroundColor)[3] < 255) behind = behind.parentElement;
  const two = [style[name], getComputedStyle(behind).backgroundColor].map(light);
  return [e.textContent.trim(), (Math.max(...two) + 0.05) / (Math.min(...two) + 0.05)];
});
"""


class Page:
    def __init__(self, window, address, width=1280, height=900):
        self.window = window
        self.resize(width, height)
        window.get("about:blank")  # a change of the hash alone would not load the page again
        window.get(address)

    def resize(self, width, height, mobile=False):
        size = {"width": width, "height": height, "mobile": mobile}
        command = "Emulation.setDeviceMetricsOverride"
        self.window.execute_cdp_cmd(command, {**size, "deviceScaleFactor": 1})

    def prefers(self, **features):
        """What the user's system asks for: color_scheme="dark", reduced_motion="reduce"."""
        asked = [
            {"name": f"prefers-{name.replace('_', '-')}", "value": value}
            for name, value in features.items()
        ]
        self.window.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": asked})

    def js(self, script, *arguments):
        return self.window.execute_script(script, *arguments)

    def find(self, selector):
        return self.window.find_element("css selector", selector)

    def find_all(self, selector):
        return self.window.find_elements("css selector", selector)

    def choose(self, selector, value):
        """Set a slider or a list as a user would."""
        self.js(
            "arguments[0].value = arguments[1];"
            "for (const e of ['input', 'change']) arguments[0].dispatchEvent(new Event(e));",
            self.find(selector),
            value,
        )

    def click(self, selector):
        self.js("arguments[0].click()", self.find(selector))

    def contrasts(self):
        """Of each text that is seen: the text, and its contrast with the colour behind it."""
        return self.js(CONTRASTS)

    def complaints(self):
        return [entry["message"] for entry in self.window.get_log("browser")]

    def shoot(self, name):
        """A picture of the documents, where SCRATCHVAE_SCREENSHOTS names a folder for them."""
        if folder := os.environ.get("SCRATCHVAE_SCREENSHOTS"):
            picture = Image.open(io.BytesIO(self.window.get_screenshot_as_png())).convert("RGB")
            small = picture.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
            small.save(Path(folder) / name, optimize=True)
