"""A pytest plugin: what a test measured is told in the summary, passed or not, in lines that begin
with "told: ". A test tells by the fixture `tell`."""

import pytest


@pytest.fixture
def tell(record_property):
    """Tells a sentence about this run."""
    return lambda words: record_property("told", words)


def pytest_terminal_summary(terminalreporter):
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                for name, words in report.user_properties:
                    if name == "told":
                        terminalreporter.write_line("told: " + words)
