// A 2026-07-28 server on the official TypeScript SDK, 2.x: it refuses every older revision.
import { createServer } from 'node:http';
import { createMcpHandler, fromJsonSchema, McpServer } from '@modelcontextprotocol/server';

const object = (properties, required = []) => fromJsonSchema({ type: 'object', properties, required });
const text = (value) => ({ content: [{ type: 'text', text: value }] });

function build() {
    const server = new McpServer({ name: 'modern', version: '1.0.0' });
    server.registerTool(
        'greet',
        { description: 'Greets somebody.', inputSchema: object({ name: { type: 'string' } }, ['name']) },
        async ({ name }) => text(`Hello, ${name}`),
    );
    server.registerTool(
        'count',
        { description: 'Counts, with progress.', inputSchema: object({ steps: { type: 'integer' } }) },
        async ({ steps = 3 }, ctx) => {
            const progressToken = ctx.mcpReq._meta?.progressToken;
            for (let step = 1; step <= steps; step++) {
                if (progressToken !== undefined) {
                    await ctx.mcpReq.notify({
                        method: 'notifications/progress',
                        params: { progressToken, progress: step, total: steps },
                    });
                }
                await new Promise((resolve) => setTimeout(resolve, 40));
            }
            return text(`counted to ${steps}`);
        },
    );
    return server;
}

const handler = createMcpHandler(build, { legacy: process.env.LEGACY === '1' ? 'stateless' : 'reject' });

async function serve(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const leaving = new AbortController();
    response.on('close', () => leaving.abort());
    const answer = await handler.fetch(
        new Request(`http://${request.headers.host}${request.url}`, {
            method: request.method,
            headers: Object.entries(request.headers).map(([name, value]) => [name, String(value)]),
            body: chunks.length > 0 ? Buffer.concat(chunks) : undefined,
            signal: leaving.signal,
        }),
    );
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    response.flushHeaders();
    if (answer.body) for await (const chunk of answer.body) response.write(chunk);
    response.end();
}

createServer((request, response) => {
    serve(request, response).catch((error) => {
        if (!response.headersSent) response.writeHead(500);
        response.end();
        if (error?.name !== 'AbortError') console.error(error);
    });
}).listen(Number(process.env.PORT), '127.0.0.1');
