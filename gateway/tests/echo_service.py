"""Services behind the gateway that return the received request.

Run `python echo_service.py JWKS_URL NAME=PORT …`. One process runs all services.

The response has the service's name, the path, the headers, the length of the body, and the claims of the token as
`TokenVerifier` verifies them. The query parameters `wait`, `status` and `size` set the delay, status and size of the
response.
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
        response = {
            "service": self._names[scope["server"][1]],
            "method": scope["method"],
            "path": scope["raw_path"].decode("latin-1"),
            "headers": headers,
            "body_length": length,
            "claims": await self._claims(dict(headers)),
            "padding": "x" * int(query.get("size", 0)),
        }
        await self._send(send, int(query.get("status", 200)), response)

    async def _claims(self, headers: dict[str, str]) -> dict[str, Any]:
        try:
            claims = await self._tokens.verify(headers.get("authorization", "").removeprefix("Bearer "))
        except BookwheelError as error:
            return {"rejected": error.detail}
        return {"sub": claims.sub, "scopes": sorted(claims.scopes)}

    async def _send(self, send: Any, status: int, response: dict[str, Any]) -> None:
        kind = b"application/json" if status < 400 else b"application/problem+json"
        headers = [(b"content-type", kind), (b"server", b"echo")]
        if status == 429:
            headers.append((b"retry-after", b"77"))
        if status == 401:
            headers.append((b"www-authenticate", b'Bearer realm="echo"'))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(response).encode()})


def main(jwks_url: str, *services: str) -> None:
    names = {int(port): name for name, port in (service.split("=") for service in services)}
    sockets = [socket.create_server(("127.0.0.1", port)) for port in names]
    config = uvicorn.Config(EchoService(names, jwks_url), log_level="warning")
    uvicorn.Server(config).run(sockets=sockets)


if __name__ == "__main__":
    main(*sys.argv[1:])
