// The official TypeScript SDK, 2.x: both eras over Streamable HTTP, HTTP+SSE, and stdio (for a bridge given in COMMAND).
import { Client, SSEClientTransport, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { carryOut, era, headers, main, transport, url } from './plan.mjs';

const MODES = { legacy: 'legacy', auto: 'auto', modern: { pin: '2026-07-28' } };

function open() {
    if (transport === 'stdio') {
        const [command, ...args] = JSON.parse(process.env.COMMAND);
        return new StdioClientTransport({ command, args, env: process.env, stderr: 'inherit' });
    }
    const Transport = transport === 'sse' ? SSEClientTransport : StreamableHTTPClientTransport;
    return new Transport(new URL(url), { requestInit: { headers } });
}

main(async () => {
    const client = new Client(
        { name: 'interop-ts2', version: '1.0.0' },
        { versionNegotiation: { mode: MODES[era] } },
    );
    await client.connect(open());
    const version = () => client.getNegotiatedProtocolVersion() ?? era;
    await carryOut(client, version, (call, options) => client.callTool(call, options));
});
