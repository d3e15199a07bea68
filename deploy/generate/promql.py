"""Writes the forms of PromQL that most panels share."""

JOB = 'job=~"$job", namespace=~"$namespace"'
ITEMS = "suffix: items/s"
"""Unit of what is counted in messages."""
TYPES = f'{JOB}, entity_type=~"$entity_type"'


def rate(metric: str, by: str = "", labels: str = JOB) -> str:
    """Return the rate of a counter, summed over all that is chosen."""
    group = f" by ({by})" if by else ""
    return f"sum{group} (rate(importer_{metric}{{{labels}}}[$__rate_interval]))"


def top(metric: str, by: str = "", labels: str = JOB) -> str:
    """Return the highest value of a gauge over the processes of each portal."""
    group = f"job, {by}" if by else "job"
    return f"max by ({group}) (importer_{metric}{{{labels}}})"


def quantile(share: str, metric: str, by: str = "") -> str:
    """Return a quantile of a histogram."""
    return f"histogram_quantile({share}, {rate(metric + '_bucket', f'le, {by}' if by else 'le')})"
