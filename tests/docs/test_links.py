"""Links of all pages lead somewhere, to files and to headings; every page can be reached; commands name what exists."""

import re
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PAGES = [*sorted(REPO.glob("*.md")), *sorted(REPO.glob("docs/*.md"))]
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def links(page: Path) -> list[str]:
    """Of text, not of code; an image's too."""
    return _LINK.findall(_FENCE.sub("", page.read_text()))


def anchors(page: Path) -> set[str]:
    """As GitHub and the site make them of headings."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text()), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)|`", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPO).as_posix())
def test_links_lead_somewhere(page):
    for link in links(page):
        if re.match(r"https?://", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{link}: there is no {name}"
        assert page.parent != REPO / "docs" or target.parent == page.parent, f"{link} leaves the site"
        assert not anchor or anchor in anchors(target), f"{link}: there is no such heading"


def test_every_page_is_in_the_sites_navigation_and_in_the_overview():
    listed = set(re.findall(r"(\w+\.md)$", (REPO / "mkdocs.yml").read_text(), re.MULTILINE))
    assert listed == {page.name for page in REPO.glob("docs/*.md")}
    reached, new = set(), {REPO / "README.md"}
    while new:
        reached |= new
        targets = {(page.parent / link.partition("#")[0]).resolve() for page in new for link in links(page)}
        new = {target for target in targets if target.suffix == ".md"} - reached
    assert reached >= set(REPO.glob("docs/*.md")) - {REPO / "docs/index.md"}  # the site's README


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPO).as_posix())
def test_commands_and_files_that_are_named_exist(page):
    text = page.read_text()
    named = set(re.findall(r"(?:^|[\s`(])((?:\./)?(?:tools|docs|configs|tests|examples)/[\w/]+\.(?:py|sh|md))\b", text))
    named |= {f"{'/'.join(module.split('.'))}.py" for module in re.findall(r"python -m ((?:tools|tests)[\w.]+)", text)}
    named |= set(re.findall(r"(?:^|[\s`])\./(\w+\.sh)\b", text, re.MULTILINE))
    missing = {name for name in named if not (REPO / name).exists()} - {"configs/my_faces.py", "losses/steep.py"}
    assert not missing
