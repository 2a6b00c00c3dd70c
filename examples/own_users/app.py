"""An application with a table of users of its own, and second factors from Twinlock."""

import os
from datetime import datetime

import bcrypt
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from sqlalchemy import create_engine, func
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from twinlock import CurrentUser, Twinlock, require
from twinlock.contrib.sqlalchemy import SqlAlchemyDirectory


class Base(DeclarativeBase): ...


class Person(Base):
    """The table that was there before."""

    __tablename__ = "person"

    id: Mapped[int] = mapped_column(primary_key=True)
    login: Mapped[str] = mapped_column(unique=True)
    email: Mapped[str]
    hashed_password: Mapped[str]  # bcrypt, Argon2, PBKDF2 or scrypt
    is_active: Mapped[bool] = mapped_column(default=True)
    roles: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


engine = create_engine(os.environ.get("PEOPLE_URL", "sqlite:///people.sqlite3"))
Base.metadata.create_all(engine)

directory = SqlAlchemyDirectory(
    engine,
    Person,
    {
        "id": "id",
        "username": "login",
        "email": "email",
        "password_hash": "hashed_password",
        "active": "is_active",
        "roles": "roles",
        "since": "created_at",
    },
)
auth = Twinlock(directory=directory)
app = FastAPI()
auth.install(app)


class NewPerson(BaseModel):
    login: str
    email: str
    password: str


@app.post("/people", status_code=201)
def register(new: NewPerson) -> int:
    hashed = bcrypt.hashpw(new.password.encode(), bcrypt.gensalt(10)).decode()
    with Session(engine) as session:
        person = Person(login=new.login, email=new.email, hashed_password=hashed)
        session.add(person)
        session.commit()
        return person.id


@app.get("/items")
def items(user: CurrentUser) -> list[str]:
    return [f"an item of person {user.host_id}"]


@app.post("/people/{person_id}/disable", dependencies=[require(role="admin", acr="aal2")])
def disable(person_id: int) -> None:
    with Session(engine) as session:
        person = session.get(Person, person_id)
        if person is None:
            raise HTTPException(404)
        person.is_active = False
        auth.changed(person_id, db=session)
        session.commit()  # from here on nothing of that person's passes


@app.delete("/people/{person_id}", dependencies=[require(role="admin", acr="aal2")])
def delete(person_id: int) -> None:
    with Session(engine) as session:
        session.delete(session.get_one(Person, person_id))
        auth.forget(person_id, db=session)
        session.commit()
