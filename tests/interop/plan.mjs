// What every JavaScript client here does once it is connected: list, carry out the plan, say in one line what it saw.
// The plan is made by run.py: [{tool, arguments, expect, refuse?, progress?}].

export const { URL: url, TOKEN: token, TRANSPORT: transport = 'http', ERA: era = 'legacy' } = process.env;
export const headers = token ? { Authorization: `Bearer ${token}` } : {};

function check(condition, message) {
    if (!condition) throw new Error(message);
}

async function listAll(client) {
    const tools = [];
    let cursor;
    do {
        const page = await client.listTools(cursor === undefined ? undefined : { cursor });
        tools.push(...page.tools);
        cursor = page.nextCursor;
    } while (cursor !== undefined);
    return tools;
}

export async function carryOut(client, version, callTool, leave = () => client.close()) {
    const spoken = version();
    const plan = JSON.parse(process.env.PLAN ?? '[]');
    const tools = await listAll(client);
    const names = new Set(tools.map((tool) => tool.name));
    let total = 0;
    for (const { tool, arguments: args = {}, expect, refuse, progress = 0 } of plan) {
        check(names.has(tool), `tools/list does not show ${tool}; it shows ${[...names].join(', ')}`);
        let seen = 0;
        const onprogress = progress > 0 ? () => seen++ : undefined;
        const result = await callTool({ name: tool, arguments: args }, { onprogress });
        const text = result.content.map((block) => block.text ?? '').join('');
        check(!result.isError, `${tool} answered with an error: ${text}`);
        check(text.includes(expect), `${tool}: expected ${JSON.stringify(expect)} in ${JSON.stringify(text)}`);
        check(refuse === undefined || !text.includes(refuse), `${tool}: the answer shows what it must not show`);
        check(seen >= progress, `${tool}: ${seen} progress notifications came, expected ${progress}`);
        total += seen;
    }
    await leave();
    console.log(`ok ${spoken} tools=${tools.length} calls=${plan.length} progress=${total}`);
}

export function main(run) {
    run().then(
        () => process.exit(0),
        (error) => {
            console.error(`FAILED: ${error?.stack ?? error}`);
            process.exit(1);
        },
    );
}
