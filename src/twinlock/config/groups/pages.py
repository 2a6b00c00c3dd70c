"""Settings, *Pages*: the pages for people: whether there are any, and how they look."""

from twinlock.config.explained import SettingsGroup, setting
from twinlock.config.kinds import FilePath, PlainText
from twinlock.core.languages import Language


class PagesSettings(SettingsGroup):
    """The pages for people: whether there are any, and how they look."""

    heading = "Pages"

    pages_enabled: bool = setting(
        True,
        "Whether the login server shows pages for people. They need the extra "
        "`twinlock[pages]`; without it there is the API alone.",
        example="false",
    )
    default_language: Language = setting(
        "en",
        "The language of mails to whom has chosen none, and of pages for browsers that ask for "
        "none of ours.",
        example="de",
    )
    pages_templates: FilePath | None = setting(
        None,
        "A folder whose templates stand in for those of the pages that have the same name.",
        example="/etc/twinlock/templates",
    )
    pages_stylesheet: FilePath | None = setting(
        None,
        "A style sheet that follows the pages' own and may set any of its colours anew.",
        example="/etc/twinlock/theme.css",
    )
    pages_contact: PlainText | None = setting(
        None,
        "Where people find help who cannot get in: an e-mail address, a web address or a "
        "telephone number. The pages for help and for errors show it.",
        example="help@example.com",
        max_length=200,
    )
    pages_logo: FilePath | None = setting(
        None,
        "The picture in the place of the mark: SVG, PNG or WebP, shown 36 pixels high.",
        example="/etc/twinlock/logo.svg",
    )
