"""Whether there can be pages; this module alone loads nothing that they need."""

from importlib.util import find_spec


def has_pages() -> bool:
    """Tell whether what the pages need is installed: the extra ``twinlock[pages]``."""
    return all(find_spec(name) for name in ("babel", "jinja2"))
