"""What a sender is made of: ``Name <user@host>``, or the address alone.

Not by `email.utils.parseaddr`: which addresses of literal hosts it takes depends on the release.
"""


def address_of(sender: str) -> str:
    """Return the address of a sender, without the name before it; empty where there is none."""
    _, bracket, rest = sender.strip().rpartition("<")
    if not bracket:
        return rest
    return rest.removesuffix(">") if rest.endswith(">") else ""
