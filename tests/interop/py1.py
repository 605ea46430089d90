"""The official Python SDK, 1.x: Streamable HTTP and HTTP+SSE."""

from mcp import ClientSession
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamablehttp_client

from plan import HEADERS, TRANSPORT, URL, carry_out, main


async def run() -> None:
    opened = sse_client(URL, headers=HEADERS) if TRANSPORT == "sse" else streamablehttp_client(URL, headers=HEADERS)
    async with opened as streams, ClientSession(streams[0], streams[1]) as session:
        version = (await session.initialize()).protocolVersion

        async def call(tool, arguments, progress):
            result = await session.call_tool(tool, arguments, progress_callback=progress)
            return result.isError, result.content

        async def tools(cursor):
            page = await session.list_tools(cursor)
            return page.tools, page.nextCursor

        await carry_out(version, tools, call)


main(run)
