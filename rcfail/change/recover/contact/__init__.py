"""Who can hear whom: addresses that changed, groups that are apart, members that were forgotten."""
