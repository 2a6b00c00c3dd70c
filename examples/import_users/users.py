"""Users as FastAPI's security tutorial keeps them, with the secrets of its two-factor follow-up.

`twinlock user import examples/import_users/users.py` reads the dict and runs nothing. johndoe's
password is "secret"; so is the one in the tutorial.
"""

fake_users_db = {
    "johndoe": {
        "username": "johndoe",
        "full_name": "John Doe",
        "email": "johndoe@example.com",
        "hashed_password": "$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW",
        "disabled": False,
        "otp_secret": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
    },
    "alice": {
        "username": "alice",
        "full_name": "Alice Liddell",
        "email": "alice@example.com",
        "hashed_password": "$2b$10$jHZYJJJGj6EEOgmEHfKmNeovOzMm3zCbHuqNqdrlr9oo9ooXUmsaK",
        "disabled": True,
        "roles": ["staff"],
    },
}
