"""The shell of interactive pages."""

from __future__ import annotations

import json
import re

from makespan.envs.core.html_page import page


def test_data_is_never_markup_and_placeholders_are_filled_once() -> None:
    """Texts that look like tags, entities or the shell's own placeholders come out as they went in."""
    nasty = "</script><b>&amp;__DATA____TITLE__"
    text = page(
        title=nasty,
        summary=nasty,
        data={"name": nasty},
        script="draw();",
        tools="<i></i>",
        hint="__DATA__ none",
    )
    assert text.count("<script") == text.count("</script>") == 2
    assert "<b>" not in text
    assert text.count("__DATA____TITLE__") == 4, "title, heading, summary and data"
    found = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    assert json.loads(found[1]) == {"name": nasty}
    assert "default-src 'none'" in text, "nothing is fetched"
