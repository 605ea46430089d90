// The official TypeScript SDK, 1.x: Streamable HTTP, HTTP+SSE, and stdio (for a bridge given in COMMAND).
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { carryOut, headers, main, transport, url } from './plan.mjs';

function open() {
    if (transport === 'stdio') {
        const [command, ...args] = JSON.parse(process.env.COMMAND);
        return new StdioClientTransport({ command, args, env: process.env, stderr: 'inherit' });
    }
    const Transport = transport === 'sse' ? SSEClientTransport : StreamableHTTPClientTransport;
    return new Transport(new URL(url), { requestInit: { headers } });
}

main(async () => {
    const client = new Client({ name: 'interop-ts1', version: '1.0.0' });
    const connection = open();
    await client.connect(connection);
    const version = () => connection.protocolVersion ?? connection._protocolVersion ?? transport;
    const call = (params, options) => client.callTool(params, undefined, options);
    await carryOut(client, version, call, async () => {
        await connection.terminateSession?.();
        await client.close();
    });
});
