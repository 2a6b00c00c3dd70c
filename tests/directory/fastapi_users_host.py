"""An application on fastapi-users itself, with our drop-in in place of its login."""

import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar

from fastapi import Depends, FastAPI, Request
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin, schemas
from fastapi_users.authentication import (
    AuthenticationBackend,
    BearerTransport,
    CookieTransport,
    JWTStrategy,
)
from fastapi_users.authentication.strategy import DatabaseStrategy
from fastapi_users.db import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from fastapi_users_db_sqlalchemy.access_token import (
    SQLAlchemyAccessTokenDatabase,
    SQLAlchemyBaseAccessTokenTableUUID,
)
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import NullPool

from tests.support.house import House
from twinlock import Twinlock
from twinlock.contrib.fastapi_users import (
    UserManagerHooks,
    get_auth_router,
    protected,
    require,
    users_directory,
)

SECRET = "a secret of the host's, long enough for HS256"


class Base(DeclarativeBase): ...


class Person(SQLAlchemyBaseUserTableUUID, Base): ...


class AccessToken(SQLAlchemyBaseAccessTokenTableUUID, Base): ...


class Read(schemas.BaseUser[uuid.UUID]): ...


class Create(schemas.BaseUserCreate): ...


class Update(schemas.BaseUserUpdate): ...


def make_app(house: House, folder: Path) -> tuple[FastAPI, Twinlock, dict[str, Any]]:
    """Return the application, and what a test may want of it."""
    url = f"sqlite:///{folder / 'people.sqlite3'}"
    Base.metadata.create_all(create_engine(url, poolclass=NullPool))
    engine = create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:"), poolclass=NullPool)
    auth = Twinlock(house.settings, directory=users_directory(engine, Person), clock=house.clock)

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(engine, expire_on_commit=False) as session:
            yield session

    async def get_user_db(
        session: Annotated[AsyncSession, Depends(get_session)],
    ) -> AsyncIterator[Any]:
        yield SQLAlchemyUserDatabase(session, Person)

    async def get_token_db(
        session: Annotated[AsyncSession, Depends(get_session)],
    ) -> AsyncIterator[Any]:
        yield SQLAlchemyAccessTokenDatabase(session, AccessToken)

    class Manager(UserManagerHooks, UUIDIDMixin, BaseUserManager[Person, uuid.UUID]):
        twinlock = auth
        reset_password_token_secret = SECRET
        verification_token_secret = SECRET
        told: ClassVar[dict[str, str]] = {}
        signed_in: ClassVar[list[str]] = []

        async def on_after_forgot_password(
            self, user: Person, token: str, request: Any = None
        ) -> None:
            self.told["reset"] = token

        async def on_after_request_verify(
            self, user: Person, token: str, request: Any = None
        ) -> None:
            self.told["verify"] = token

        async def on_after_login(
            self, user: Person, request: Any = None, response: Any = None
        ) -> None:
            assert request is not None
            assert response is not None
            self.signed_in.append(user.email)

    async def get_user_manager(db: Annotated[Any, Depends(get_user_db)]) -> AsyncIterator[Manager]:
        yield Manager(db)

    def jwt() -> JWTStrategy[Person, uuid.UUID]:
        return JWTStrategy(SECRET, 3600)

    def database(tokens: Annotated[Any, Depends(get_token_db)]) -> Any:
        return DatabaseStrategy(tokens, 3600)

    raw: dict[str, AuthenticationBackend[Person, uuid.UUID]] = {
        "jwt": AuthenticationBackend("jwt", BearerTransport("auth/jwt/login"), jwt),
        "database": AuthenticationBackend(
            "database", BearerTransport("auth/database/login"), database
        ),
        "cookie": AuthenticationBackend("cookie", CookieTransport(cookie_secure=False), jwt),
    }
    backends = {name: protected(auth, one) for name, one in raw.items()}
    fastapi_users = FastAPIUsers[Person, uuid.UUID](get_user_manager, list(backends.values()))
    app = FastAPI()
    auth.install(app, prefix="/twinlock")
    for name, backend in backends.items():
        app.include_router(get_auth_router(auth, fastapi_users, backend), prefix=f"/auth/{name}")
        app.include_router(
            get_auth_router(auth, fastapi_users, backend, requires_verification=True),
            prefix=f"/auth/verified/{name}",
        )
    # What an application may have left in: fastapi-users' own router, on a backend of ours,
    # and one on a backend that nobody wrapped.
    app.include_router(fastapi_users.get_auth_router(backends["jwt"]), prefix="/auth/old")
    app.include_router(fastapi_users.get_auth_router(raw["jwt"]), prefix="/auth/raw")
    app.include_router(fastapi_users.get_register_router(Read, Create), prefix="/auth")
    app.include_router(fastapi_users.get_reset_password_router(), prefix="/auth")
    app.include_router(fastapi_users.get_verify_router(Read), prefix="/auth")
    app.include_router(fastapi_users.get_users_router(Read, Update), prefix="/users")
    current = fastapi_users.current_user(active=True)

    @app.get("/me")
    async def me(user: Annotated[Person, Depends(current)]) -> dict[str, str]:
        return {"email": user.email}

    @app.get("/secret")
    async def secret(
        user: Annotated[Person, require(auth, fastapi_users, acr="aal2")],
    ) -> dict[str, str]:
        return {"email": user.email}

    @app.get("/auth/oauth/callback/{email}")
    async def oauth(
        email: str,
        request: Request,
        manager: Annotated[Manager, Depends(get_user_manager)],
        strategy: Annotated[Any, Depends(backends["cookie"].get_strategy)],
    ) -> Any:
        """The end of fastapi-users' own OAuth callback (15.0.5, router/oauth.py), word for word."""
        user = await manager.get_by_email(email)
        response = await backends["cookie"].login(strategy, user)
        await manager.on_after_login(user, request, response)
        return response

    @app.delete("/me")
    async def leave(
        user: Annotated[Person, Depends(current)],
        manager: Annotated[Manager, Depends(get_user_manager)],
    ) -> None:
        await manager.delete(user)

    extras = {"told": Manager.told, "signed_in": Manager.signed_in, "url": url}
    return app, auth, extras


Maker = Callable[[House, Path], tuple[FastAPI, Twinlock, dict[str, Any]]]
