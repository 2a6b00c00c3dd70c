"""``/users/me``: the tutorial's four fields."""

from pydantic import BaseModel

from twinlock.core.principal import User
from twinlock.web.guard import OwnUser
from twinlock.web.routes import router

api = router(prefix="/users", tags=["users"])


class UserOut(BaseModel):
    """The signed-in user, as the FastAPI security tutorial has it."""

    username: str
    email: str | None
    full_name: str | None
    disabled: bool

    @classmethod
    def of(cls, user: User) -> "UserOut":
        """Translate."""
        return cls(
            username=user.username,
            email=user.email,
            full_name=user.full_name,
            disabled=user.disabled,
        )


@api.get("/me")
async def read_me(user: OwnUser) -> UserOut:
    """Return the signed-in user."""
    return UserOut.of(user)
