"""``twinlock db``: migrations, checks, and what to do after a backup was put back."""

from contextlib import closing

from twinlock.cli import output
from twinlock.config.settings import Settings
from twinlock.db.engine import Database
from twinlock.flows.installation import note_restored
from twinlock.migrations.revision import require_current

app = output.group("Migrate and check the database.")

RESTORED = (
    "This ends every session, login and enrollment of everybody, and voids all recovery codes. "
    "Go on?"
)


@app.command()
def upgrade(*, json: output.Json = False) -> None:
    """Bring the database to the revision of this program."""
    from twinlock.migrations.run import upgrade as migrate

    with closing(_database()) as database:
        before, after = migrate(database)
    done = "is at" if before == after else f"went from revision {before or 'none'} to"
    output.show({"from": before, "to": after}, f"The database {done} {after}.", as_json=json)


@app.command()
def check(*, json: output.Json = False) -> None:
    """Compare the database with this program, and ask SQLite whether its file is whole."""
    from twinlock.migrations.check import find_damage, find_differences

    with closing(_database()) as database:
        require_current(database)
        damage = find_damage(database)
        differences = find_differences(database)
    facts = {"damage": damage, "differences": differences}
    lines = [f"damaged: {one}" for one in damage] + [f"differs: {one}" for one in differences]
    output.show(facts, *(lines or ["The database is what this program expects."]), as_json=json)
    if damage:
        output.refuse("The file is damaged: put a backup back, then run `twinlock db restored`.")
    if differences:
        output.refuse("The tables are not those of this program: somebody changed them by hand.")


@app.command()
def restored(*, yes: output.Yes = False, json: output.Json = False) -> None:
    """After a backup was put back: end all that could have been used or revoked since."""
    output.confirm(RESTORED, yes=yes)
    with output.opened() as flows:
        ended = note_restored(flows.parts, output.caller(), now=flows.parts.clock())
    lines = [f"{name.replace('_', ' ')}: {count} ended" for name, count in ended.items()]
    output.show(ended, *lines, as_json=json)


def _database() -> Database:
    settings = Settings()
    return Database(settings.database_url, has_pooler=settings.database_pooler)
