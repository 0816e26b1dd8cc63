"""The page on benchmarks and the scripts."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_page_lists_every_benchmark() -> None:
    page = (ROOT / "docs" / "reference" / "benchmarks.md").read_text()
    scripts = sorted(script.stem for script in (ROOT / "benchmarks").glob("bench_*.py"))
    assert sorted({line.split("`")[1] for line in page.splitlines() if line.startswith("| `bench_")}) == scripts
