"""One file of rules for each theme; `rcfail.health.diagnose` runs them in order."""
