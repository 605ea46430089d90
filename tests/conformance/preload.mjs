// Preload (node --import): the suite has no option for headers, so every request to the gateway gets its bearer token
// here, whichever of Node's three HTTP clients a scenario uses. Elsewhere nothing is added.
import http from 'node:http';
import { Agent, setGlobalDispatcher } from 'undici';

const { GATEWAY, TOKEN } = process.env;
const bearer = `Bearer ${TOKEN}`;

function goesToGateway(address) {
    try {
        return new URL(address).origin === new URL(GATEWAY).origin;
    } catch {
        return false;
    }
}

const plainFetch = globalThis.fetch;
globalThis.fetch = async (input, init) => {
    const request = new Request(input, init);
    if (!goesToGateway(request.url) || request.headers.has('authorization')) return plainFetch(input, init);
    const headers = new Headers(request.headers);
    headers.set('authorization', bearer);
    return plainFetch(input, { ...init, headers });
};

const plainRequest = http.request;
http.request = (options, ...rest) => {
    const { hostname, host, port } = options ?? {};
    if (goesToGateway(`http://${hostname ?? host}:${port}`))
        options = { ...options, headers: { authorization: bearer, ...options.headers } };
    return plainRequest(options, ...rest);
};

class WithToken extends Agent {
    dispatch(options, handler) {
        const headers = options.headers ?? {};
        const named = !Array.isArray(headers) && typeof headers[Symbol.iterator] !== 'function';
        if (named && goesToGateway(options.origin)) options = { ...options, headers: { authorization: bearer, ...headers } };
        return super.dispatch(options, handler);
    }
}
setGlobalDispatcher(new WithToken());
