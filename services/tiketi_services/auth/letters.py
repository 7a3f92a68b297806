"""What mails say. Pure.

Korean first, then English, in one text: nobody is asked for a language to sign up. Nothing in it was typed by whoever
signed up: an account in a stranger's name must not carry words to that stranger.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

SUBJECT: Final = "[Tiketi] 이메일 주소를 확인해 주세요 / Please verify your e-mail address"

_TEXT: Final = """\
안녕하세요, Tiketi입니다.

아래 링크를 열고 '확인' 버튼을 누르면 이메일 주소 확인이 끝납니다.
확인된 계정만 예매 대기열에 설 수 있습니다.

{link}

이 링크는 {hours}시간 동안 쓸 수 있습니다.
가입한 적이 없다면 이 메일을 무시해 주세요. 아무 일도 일어나지 않습니다.

----

Hello from Tiketi.

Open the link above and press "Verify" to verify your e-mail address.
Only verified accounts can take a place in the line for tickets.

The link works for {hours} hours.
If you did not sign up, ignore this mail; nothing will happen.
"""


def verification_text(public_url: str, token: str, lifetime: timedelta) -> str:
    """The mail that asks to verify an address.

    The token stands behind the ``#``: browsers do not send that part, so it is in no log and in no referrer. Opening
    the link alone verifies nothing, a button does: programs that look into mails open every link.
    """
    hours = max(1, round(lifetime / timedelta(hours=1)))
    return _TEXT.format(link=f"{public_url}/auth/verify-email#{token}", hours=hours)
