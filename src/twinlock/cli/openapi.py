"""``twinlock openapi``: the document that ``/openapi.json`` would serve."""

from twinlock.cli import output
from twinlock.config.settings import Settings
from twinlock.login_server import create_app

app = output.single()


@app.command()
def openapi(*, json: output.Json = False) -> None:
    """Print the OpenAPI document, which is JSON in any case."""
    output.show(create_app(Settings()).openapi(), as_json=True)
