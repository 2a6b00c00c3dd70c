"""``twinlock config``: the settings as the server would read them."""

from dataclasses import asdict

from twinlock.cli import output
from twinlock.config.settings import Settings

app = output.group("Show the settings and where they come from.")


@app.command()
def show(*, json: output.Json = False) -> None:
    """Show every setting with its source; secrets are masked."""
    settings = Settings()
    shown = settings.masked()
    facts = {name: asdict(setting) for name, setting in shown.items()}
    rows = [(name, setting.value, setting.source) for name, setting in shown.items()]
    output.show(facts, output.table(("setting", "value", "source"), rows), as_json=json)
