"""FastAPI, one ES256 signature and one indexed read: the least that a first sight can cost."""

import sqlite3

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from fastapi import FastAPI, Request

from benchmarks.apps.bare import UserOut

_ECDSA = ec.ECDSA(SHA256())
_WORDS = b"a" * 550
_key = ec.generate_private_key(ec.SECP256R1())
_signature = _key.sign(_WORDS, _ECDSA)
_public = _key.public_key()
_database = sqlite3.connect(":memory:")
_database.execute(
    "CREATE TABLE session (id TEXT PRIMARY KEY, username TEXT, email TEXT, name TEXT)"
)
_database.executemany(
    "INSERT INTO session VALUES (?, ?, ?, ?)",
    [(f"{n:032x}", f"person{n}", f"person{n}@example.com", "A Person") for n in range(10_000)],
)

app = FastAPI()


@app.get("/me")
async def read_me(request: Request) -> UserOut:
    _public.verify(_signature, _WORDS, _ECDSA)
    query = "SELECT username, email, name FROM session WHERE id = ?"
    username, email, full_name = _database.execute(query, (f"{77:032x}",)).fetchone()
    return UserOut(username=username, email=email, full_name=full_name, disabled=False)
