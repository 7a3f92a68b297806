"""Where the link of a mail leads: one page with one button, made of nothing but itself."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files
from typing import Final

PAGE: Final = files("tiketi_services.auth").joinpath("verify_email.html").read_text(encoding="utf-8")


def _allowed(tag: str) -> str:
    """CSP source of the page's one <script> or <style>: what is not exactly this does not run (CSP 3, 2.3.1)."""
    content = re.search(rf"<{tag}>(.*?)</{tag}>", PAGE, re.DOTALL)
    if content is None:
        raise LookupError(f"verify_email.html has no <{tag}>")
    return f"'sha256-{base64.b64encode(hashlib.sha256(content[1].encode()).digest()).decode()}'"


PAGE_HEADERS: Final = {
    "content-security-policy": f"default-src 'none'; script-src {_allowed('script')}; style-src {_allowed('style')}; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "public, max-age=3600",
}
