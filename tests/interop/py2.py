"""The official Python SDK, 2.x: both eras over Streamable HTTP, and HTTP+SSE."""

import httpx2
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from plan import ERA, HEADERS, TRANSPORT, URL, carry_out, main

MODES = {"legacy": "legacy", "auto": "auto", "modern": "2026-07-28"}


async def run() -> None:
    # The SDK's own time limits: a read may wait as long as a call may take.
    http = httpx2.AsyncClient(headers=HEADERS, timeout=httpx2.Timeout(30, read=300))
    opened = sse_client(URL, headers=HEADERS) if TRANSPORT == "sse" else streamable_http_client(URL, http_client=http)
    async with http, Client(opened, mode="legacy" if TRANSPORT == "sse" else MODES[ERA]) as client:

        async def call(tool, arguments, progress):
            result = await client.call_tool(tool, arguments, progress_callback=progress)
            return result.is_error, result.content

        async def tools(cursor):
            page = await client.list_tools(cursor=cursor)
            return page.tools, page.next_cursor

        await carry_out(client.session.protocol_version, tools, call)


main(run)
