"""Settings that every test file shares."""

from hypothesis import settings

# The same examples on every run, on slow machines too, and no database left in the tree.
settings.register_profile("course", max_examples=25, deadline=None, derandomize=True, database=None)
settings.load_profile("course")
