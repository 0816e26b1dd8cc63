"""Services to stand behind the gateway, which tell what reached them.

Run as `python echo_service.py JWKS_URL NAME=PORT …`; one process is all of them.

Its answer holds the service's name, the path and headers as they arrived, the body's length, and what the suite's own
`TokenVerifier` makes of the token. `wait`, `status` and `size` in the query make it slow, failing or lengthy.
"""

import asyncio
import json
import socket
import sys
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from bookwheel_contracts.problems import BookwheelError
from bookwheel_runtime.tokens import TokenVerifier

Scope = dict[str, Any]


class EchoService:
    def __init__(self, names: dict[int, str], jwks_url: str) -> None:
        self._names = names
        self._tokens = TokenVerifier(jwks_url=jwks_url, issuer="bookwheel")

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        length = 0
        more = True
        while more:
            message = await receive()
            length += len(message.get("body", b""))
            more = message.get("more_body", False)
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode("latin-1")).items()}
        await asyncio.sleep(float(query.get("wait", 0)))
        answer = {
            "service": self._names[scope["server"][1]],
            "method": scope["method"],
            "path": scope["raw_path"].decode("latin-1"),
            "headers": headers,
            "body_length": length,
            "claims": await self._claims(dict(headers)),
            "padding": "x" * int(query.get("size", 0)),
        }
        await self._send(send, int(query.get("status", 200)), answer)

    async def _claims(self, headers: dict[str, str]) -> dict[str, Any]:
        try:
            claims = await self._tokens.verify(headers.get("authorization", "").removeprefix("Bearer "))
        except BookwheelError as error:
            return {"refused": error.detail}
        return {"sub": claims.sub, "scopes": sorted(claims.scopes)}

    async def _send(self, send: Any, status: int, answer: dict[str, Any]) -> None:
        kind = b"application/json" if status < 400 else b"application/problem+json"
        headers = [(b"content-type", kind), (b"server", b"echo")]
        if status == 429:
            headers.append((b"retry-after", b"77"))
        if status == 401:
            headers.append((b"www-authenticate", b'Bearer realm="echo"'))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


def main(jwks_url: str, *services: str) -> None:
    names = {int(port): name for name, port in (service.split("=") for service in services)}
    sockets = [socket.create_server(("127.0.0.1", port)) for port in names]
    config = uvicorn.Config(EchoService(names, jwks_url), log_level="warning")
    uvicorn.Server(config).run(sockets=sockets)


if __name__ == "__main__":
    main(*sys.argv[1:])
