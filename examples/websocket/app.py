"""A chat for signed-in people, guarded for as long as a connection is open."""

import contextlib

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from twinlock import CurrentUser, Twinlock

app = FastAPI()
auth = Twinlock()
auth.install(app)

present: set[WebSocket] = set()


@app.websocket("/chat")
async def chat(websocket: WebSocket, user: CurrentUser) -> None:
    """Pass on what each says to all who are there."""
    await websocket.accept()
    present.add(websocket)
    try:
        async for text in websocket.iter_text():
            for other in tuple(present):
                with contextlib.suppress(WebSocketDisconnect):  # who has left, finds out itself
                    await other.send_text(f"{user.username}: {text}")
    finally:
        present.discard(websocket)
