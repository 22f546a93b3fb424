"""Tables as HTML; what is given as text is escaped, and `Html` is markup already."""

from collections.abc import Iterable, Sequence
from html import escape


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def html(text: str) -> str:
    """A text as markup."""
    return text if isinstance(text, Html) else escape(text)


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]], wordy: int = 1) -> str:
    """A table whose first column names the row; the first `wordy` columns are words, the others figures."""

    def cell(i: int, value: str) -> str:
        kind = ' class="words"' if i < wordy else ""
        return f'<th scope="row"{kind}>{html(value)}</th>' if i == 0 else f"<td{kind}>{html(value)}</td>"

    head = "".join(
        f'<th scope="col"{" class=words" if i < wordy else ""}>{html(name)}</th>'
        for i, name in enumerate(heads)
    )
    body = "".join(f"<tr>{''.join(cell(i, value) for i, value in enumerate(row))}</tr>" for row in rows)
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(caption)}"><table><caption>'
        f"{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
