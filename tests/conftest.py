"""Settings that every test file shares."""

from hypothesis import settings

# The same examples on every run, on slow machines too, and no database left in the tree.
settings.register_profile("course", max_examples=25, deadline=None, derandomize=True, database=None)
settings.load_profile("course")


def pytest_terminal_summary(terminalreporter):
    """Print what tests have recorded as their "summary", from all workers."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    lines = [value for report in reports if report.when == "call" for name, value in report.user_properties if name == "summary"]
    if lines:
        terminalreporter.section("what was counted")
        terminalreporter.write_line("\n".join(sorted(lines)))
