"""Coverage-guided fuzzing, by hand: `python -m tests.fuzz TARGET -max_total_time=600`. Needs atheris (PyPI)."""
