"""The tutorial's chapters, followed to the letter: each command is run, and prints what the page says."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from localcloud.testing import LocalCloud

from tests.docs.pages import ROOT, assert_prints, blocks_of, run

TUTORIAL = ROOT / "docs" / "tutorial"
CHAPTERS = sorted(TUTORIAL.glob("[0-9]-*.md"))
AT_HOME = [page for page in CHAPTERS if "your-own-task" not in page.name]

# Not run here: what starts everything (the fixture does), needs a project, or shows an address to fill in.
_NOT_RUN = re.compile(r"make (run$|deploy|undeploy)|export (\w+=127\.0\.0\.1:PORT|GOOGLE_CLOUD_PROJECT)")


@pytest.fixture(scope="module")
def shared_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """What `make run` starts."""
    files = ("app.yaml", "worker.yaml", "queue.yaml")
    options = ("--transaction-idle-seconds", "2")
    with LocalCloud(files, root=ROOT, data=tmp_path_factory.mktemp("tutorial"), options=options) as cloud:
        yield cloud


@pytest.fixture
def cloud(shared_cloud: LocalCloud) -> Iterator[LocalCloud]:
    with shared_cloud.for_one_test() as cloud:
        yield cloud


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("page", AT_HOME, ids=lambda page: page.stem)
def test_every_command_prints_what_the_chapter_says(cloud: LocalCloud, page: Path) -> None:
    environ = {
        "DATA": str(cloud.data),
        "DATASTORE_EMULATOR_HOST": cloud.datastore_address,
        "CLOUD_TASKS_EMULATOR_HOST": cloud.tasks_address,
        "GOOGLE_CLOUD_PROJECT": "local-project",
    }
    replacing = {"localhost:8080": cloud.url.removeprefix("http://"), ".localcloud/": f"{cloud.data}/"}
    printed = None
    for block in blocks_of(page):
        if block.mark == "run":
            printed = run(block, ROOT, environ, replacing)
        elif block.mark == "prints":
            assert printed is not None
            assert_prints(block.text, printed)


@pytest.mark.parametrize("page", CHAPTERS, ids=lambda page: page.stem)
def test_nothing_that_a_reader_would_type_is_left_untested(page: Path) -> None:
    for block in blocks_of(page):
        if block.language == "sh" and not block.mark:
            assert all(_NOT_RUN.match(line) for line in block.text.splitlines()), block.text


PAGES = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/**/*.md"),
    *ROOT.glob("localcloud/*.md"),
    *ROOT.glob("localcloud/docs/*.md"),
    ROOT / "pushtasks" / "README.md",
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)[^):]*\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    to_read = [ROOT / "README.md"]
    while to_read:
        page = to_read.pop().resolve()
        if page not in reached:
            reached.add(page)
            to_read += [page.parent / link for link in re.findall(r"\]\(([^)#:]+\.md)", page.read_text())]

    assert {page for page in PAGES if page not in reached} == set()


def test_each_chapter_is_short_and_leads_to_the_next() -> None:
    for page, following in itertools.pairwise(CHAPTERS):
        assert following.name in page.read_text()
        assert len(page.read_text().splitlines()) < (400 if "task" in page.name else 250)
    assert len(CHAPTERS) == 5
