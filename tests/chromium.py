"""A headless Chromium that opens pages from disk, without a network, and says what is wrong."""

import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

WIDTHS = (1280, 400)
PROGRAMS = ("chromium", "chromedriver")
# What is wider than its window, but for what scrolls within itself.
OVERFLOW = "return document.documentElement.scrollWidth - window.innerWidth"
IMAGES = """
const images = [...document.images];
await Promise.all(images.map((image) => image.decode().catch(() => null)));
return images.filter((image) => !image.naturalWidth).map((image) => image.src.slice(0, 200));
"""
LINKS = "return [...document.querySelectorAll('a[href]')].map((a) => a.href)"


def missing():
    """The programs that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


class Browser:
    """Use as a context; `driver` is selenium's."""

    def __enter__(self):
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for flag in (
            "--headless=new",
            "--no-sandbox",  # tests may run as root
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--host-resolver-rules=MAP * ~NOTFOUND",  # no network
        ):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.set_script_timeout(20)
        return self

    def __exit__(self, *_):
        self.driver.quit()

    def open(self, page, width=WIDTHS[0], fragment=""):
        """Opens a file in a window of a width; details are unfolded, so that all is there."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.get("about:blank")  # or a mere change of the fragment would load nothing
        self.driver.get_log("browser")
        self.driver.get(Path(page).resolve().as_uri() + fragment)
        return self

    def run(self, script, *arguments):
        """The value of a JavaScript function's body."""
        return self.driver.execute_script(script, *arguments)

    def until(self, condition):
        """Waits until something holds, as after a scroll, which takes a frame or two."""
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, 5, poll_frequency=0.05).until(lambda _: condition())

    def problems(self, page, width):
        """What is wrong with a page: errors on the console, images, links, its width."""
        self.open(page, width)
        found = [
            f"console: {entry['message']}"
            for entry in self.driver.get_log("browser")
            if entry["level"] == "SEVERE" and "ERR_FILE_NOT_FOUND" not in entry["message"]
        ]
        self.run("document.querySelectorAll('details').forEach((node) => { node.open = true; })")
        broken = self.driver.execute_async_script(
            f"const done = arguments[0]; (async () => {{ {IMAGES} }})().then(done);"
        )
        found += [f"image: {source}" for source in broken]
        found += [f"link: {link}" for link in self.run(LINKS) if not self._works(link, page)]
        if (more := self.run(OVERFLOW)) > 0:
            found.append(f"overflow: {more} px at {width} px")
        return found

    def _works(self, link, page):
        parts = urlsplit(link)
        if parts.scheme != "file":
            return False  # a page must not need a network
        path = Path(unquote(parts.path))
        if not path.exists():
            return False
        if path == Path(page).resolve() and parts.fragment:
            return self.run("return !!document.getElementById(arguments[0])", parts.fragment)
        return True
