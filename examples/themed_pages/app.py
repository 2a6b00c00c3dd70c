"""Pages that look like the rest of an application: its name, logo and colours, and one template."""

from pathlib import Path

from fastapi import FastAPI

from twinlock import CurrentUser, Settings, Twinlock

HERE = Path(__file__).parent

app = FastAPI()
auth = Twinlock(
    Settings(
        service_name="Harbour & Sons",
        pages_logo=HERE / "logo.svg",
        pages_stylesheet=HERE / "theme.css",
        pages_templates=HERE / "templates",
    )
)
auth.install(app, pages=True)


@app.get("/cargo")
async def cargo(user: CurrentUser) -> list[str]:
    return [f"a crate of {user.username}"]
