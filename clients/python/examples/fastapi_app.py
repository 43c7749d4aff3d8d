"""FastAPI: a route of the site publishes an event. `uvicorn fastapi_app:app`."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI, HTTPException
from liveserver_client import ClientError, publish

DISPATCHERS = os.environ["LIVESERVER_DISPATCHERS"].split(",")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with httpx.AsyncClient() as client:  # keeps its connections
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/videos/{video}/goal")
async def goal(video: str, score: dict[str, Any]) -> dict[str, int]:
    try:
        receipt = await publish(
            DISPATCHERS,
            video,
            [{"type": "goal", "data": score}],
            client=app.state.client,
            give_up_after=5,
        )
    except ClientError as error:
        raise HTTPException(502, str(error)) from error
    return {"accepted": receipt.accepted}
