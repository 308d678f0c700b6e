"""Who copies whom: links and why they are down, misplaced replicas, shards without one."""
