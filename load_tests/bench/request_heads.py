"""Request heads as a mixed audience sends them: browsers, versions, systems, languages and pages, from a seed."""

import random
from typing import Final

from load_tests.bench.wrk import BROWSER

_CHROME: Final = "Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 Safari/537.36"
_FIREFOX: Final = "Mozilla/5.0 ({system}; rv:{version}.0) Gecko/20100101 Firefox/{version}.0"
_SAFARI: Final = (
    "Mozilla/5.0 ({system}) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{version}.1 Mobile/15E148 Safari/604.1"
)
_SYSTEMS: Final = (
    "Windows NT 10.0; Win64; x64",
    "Macintosh; Intel Mac OS X 10_15_7",
    "X11; Linux x86_64",
    "Linux; Android 10; K",
    "iPhone; CPU iPhone OS 18_5 like Mac OS X",
)
_LANGUAGES: Final = (
    "en-US,en;q=0.9",
    "zh-CN,zh;q=0.9,en;q=0.8",
    "fr-FR,fr;q=0.9",
    "ar,en;q=0.7",
    "ru-RU,ru;q=0.9",
    "es",
)
_FROM_ANOTHER_BROWSER: Final = ("sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform")

Headers = tuple[tuple[str, str], ...]


def different(count: int, seed: int = 1) -> list[Headers]:
    """Return so many header sets, all different, in the order and with the names that browsers use."""
    source = random.Random(seed)
    found: dict[Headers, None] = {BROWSER: None}
    while len(found) < count:
        found[_another(source)] = None
    return list(found)


def _another(source: random.Random) -> Headers:
    system, kind = source.choice(_SYSTEMS), source.choice(("chrome", "chrome", "firefox", "safari"))
    version = source.randint(18, 26) if kind == "safari" else source.randint(120, 156)
    agent = {"chrome": _CHROME, "firefox": _FIREFOX, "safari": _SAFARI}[kind].format(system=system, version=version)
    page = f"https://{source.choice(('stream', 'www', 'embed', 'm'))}.example"
    changed = {
        "User-Agent": agent,
        "sec-ch-ua": f'"Chromium";v="{version}", "Not)A;Brand";v="24"',
        "sec-ch-ua-mobile": f"?{int('Android' in system)}",
        "Accept-Language": source.choice(_LANGUAGES),
        "Origin": page,
        "Referer": f"{page}/{source.choice(('', 'live', 'hall-a', 'forum-7'))}",
    }
    without = _FROM_ANOTHER_BROWSER if kind != "chrome" else ()
    headers = [(name, changed.get(name, value)) for name, value in BROWSER if name not in without]
    if source.random() < 0.3:
        headers.append(("Priority", source.choice(("u=1, i", "u=4"))))
    if source.random() < 0.1:
        headers.append(("DNT", "1"))
    return tuple(headers)
