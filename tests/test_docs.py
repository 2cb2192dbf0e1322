"""The Python in README.md and docs/ runs.

The ```python blocks of a page run in order in one namespace, in a temporary folder that has `scenarios/`.
A block that must not run says so: ```python no-run.
"""

import re
import shutil
import traceback
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^(?P<indent> *)(?P<fence>```+)(?P<info>[^`\n]*)\n(?P<body>.*?)^ *(?P=fence)`* *$", re.M | re.S)


def blocks(page):
    """Return (line of the first statement, code) for each block of a page that is to run."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        language, *flags = match["info"].split() or [""]
        if language == "python" and "no-run" not in flags:
            code = re.sub(rf"^ {{0,{len(match['indent'])}}}", "", match["body"], flags=re.M)
            found.append((text.count("\n", 0, match.start("body")) + 1, code))
    return found


def run(page, name):
    """Run the blocks of a page; a failure names the page's file and line."""
    namespace = {"__name__": "__main__"}
    for first_line, code in blocks(page):
        try:
            exec(compile("\n" * (first_line - 1) + code, str(page), "exec"), namespace)
        except Exception as error:
            lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(page)]
            line = lines[-1] if lines else getattr(error, "lineno", None) or first_line
            raise AssertionError(f"{name}:{line}: {type(error).__name__}: {error}") from error


PAGES = {
    page.relative_to(ROOT).as_posix(): page
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if page.exists() and blocks(page)
}


@pytest.fixture(autouse=True)
def in_a_folder_with_scenarios(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "scenarios", tmp_path / "scenarios")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")


@pytest.mark.parametrize("name", PAGES)
def test_the_code_on_the_page_runs(name):
    run(PAGES[name], name)


PAGE = """# Title

```python
from pathlib import Path

x = 1
```

```python no-run
x = 20
```

````md
```python
x = 30
```
````

- item

  ```python
  x += len(list(Path("scenarios").glob("*.toml"))) > 0

  assert x == 0, f"x is {x}"
  ```
"""


def test_a_block_that_raises_is_reported_with_file_and_line(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    with pytest.raises(AssertionError, match=r"^page\.md:24: AssertionError: x is 2$"):
        run(page, "page.md")


def test_a_block_that_is_not_python_is_reported_with_file_and_line(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("text\n\n```python\nx = 1\nx = = 2\n```\n")
    with pytest.raises(AssertionError, match=r"^page\.md:5: SyntaxError: "):
        run(page, "page.md")


def test_a_page_without_errors_passes(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE.replace("x == 0", "x == 2"))
    run(page, "page.md")
