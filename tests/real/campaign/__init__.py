"""Real clusters that are broken and mended at random, and an oracle that knows the truth without rcfail.

By hand, because chance decides what it finds and a busy machine decides how long it takes:

    pytest tests/real/campaign/runs.py --servers all            four seeds on each server, some 40 s each
    pytest tests/real/campaign/runs.py --servers all -k 15-     one seed
"""
