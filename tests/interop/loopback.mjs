// Preload (node --import): servers that would listen on every interface listen on loopback only.
import { Server } from 'node:net';

const listen = Server.prototype.listen;
Server.prototype.listen = function (...args) {
    if (typeof args[0] === 'number' || typeof args[0] === 'string') args[0] = { port: Number(args[0]), host: '127.0.0.1' };
    return listen.apply(this, args);
};
