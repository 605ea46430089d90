//! # aerostack
//!
//! A self-hosted MCP gateway for teams: one URL and one token per person, the keys stay in the vault. An editor talks
//! to `/ws/{workspace}`; the gateway finds the MCP server that has the tool, speaks that server's revision of the
//! protocol, adds the server's credentials, and gives the answer back byte for byte.
//!
//! This page is the map: where things are, what always holds, how a call and a revocation travel, and what is left out
//! on purpose. Commands and operation are in `README.md`, every setting is in `config.toml`, every failure in
//! [`error`]; what users read is `src/docs`, which the gateway serves at `/docs`.
//!
//! ## Map
//!
//! Imports point down only; `tests/tidy.rs` reads the `use` lines and holds it.
//!
//! ```text
//! serve  connect  host               boot and stop, in order, the only module that knows all others · the bridge · the
//!                                    operator's hand on the gateway's machine
//! gateway  admin  web  ops  demo     fronts; they do not know each other (web: the admin API's use cases, and the
//!                                    gateway as an editor sees it, by a hand that serve gives it)
//! cli                                the commands (only the admin API's words, and events as they are on the wire)
//! actors                             state with one owner, supervised
//! store    upstream  mail            the databases · how an MCP server is talked to · mails to a mail server
//! protocol                           MCP on the wire: bytes in, bytes out, no I/O
//! domain   config   telemetry        rules without I/O · settings · logs and traces
//! error                              the one table of failures
//! ```
//!
//! | Module | Owns | Never |
//! |---|---|---|
//! | [`gateway`] | `/ws/{slug}`, `…/sse`, `…/mcp`: who may enter, the era of a request, one function per method | writes to the database; looks into arguments or results |
//! | [`admin`] | `/api/v1/admin`: a use case per resource, and thin routes around it | is reachable with a workspace token |
//! | [`web`] | pages for people: the dashboard, signing in, joining, confirming a login, the documentation; one file per page beside its template | decides what the admin API does not |
//! | [`ops`] | probes on the main port; health of actors and metrics on a listener of their own | shows detail to editors |
//! | [`cli`] | the commands, as an HTTP client of the admin API | touches a database or an actor |
//! | [`connect`] | a pipe joined to a gateway URL, for clients that only start processes; one question to such a URL | repeats a call that may have arrived |
//! | [`host`] | what an operator does beside the gateway: check the audit log, set a plan, make a backup and restore it | writes what a process keeps in memory |
//! | [`demo`] | `serve --demo`: an example server and a first call through the front door | keeps anything |
//! | [`actors`] | tokens, secrets, catalogue, upstream sessions, streams, sinks; the runtime they live in | is called around its [`ActorRef`](actors::actor_ref::ActorRef) |
//! | [`upstream`] | the guarded HTTP client, programs and their launcher, skills, detection of revisions, exchanges, breaker | follows a redirect, or dials an address that the policy did not judge |
//! | [`mail`] | one mail at a time to the configured server | says that a mail was sent before it was accepted |
//! | [`store`] | queries, transactions, migrations; the same code on SQLite and Postgres | decides |
//! | [`protocol`] | scan, splice, events, headers, session ids, the bridge between revisions | parses what is only passed on |
//! | [`domain`] | ids, roles, tokens, keys and seals, the limiter's window, tool names, the audit chain | does I/O |
//!
//! ## What always holds
//!
//! - **Owner writes, readers read a snapshot.** Exactly one actor writes each kind of state. It commits to the database
//!   first, then publishes an immutable value; workers read that without a message. The path of a call crosses no
//!   thread.
//! - **A revocation is over when it returns.** No call is accepted and no byte is written for the token afterwards. See
//!   [`actors::grant`] for why a flag alone would not do.
//! - **One gateway per database.** What an owner keeps in memory is true only if nobody else writes it: a lock on the data
//!   folder, or in Postgres ([`store::alone`]), keeps a second gateway out. A gateway that cannot find out whether it still
//!   has the lock believes no token.
//! - **A secret has one destination.** It is sealed with its namespace, server, name and origin as associated data;
//!   only [`SecretVault`](actors::secret_vault) sees keys. Decrypted headers live at most
//!   `upstream.header_cache_seconds` in memory that is wiped, and everything a server sends is searched for them before
//!   a client sees it.
//! - **A program leaves nothing behind.** An MCP server that is a program on this machine is started by a
//!   [`launcher`](upstream::stdio::launcher) that ends it and all its descendants when the gateway lets go or is gone,
//!   and that is told nothing but what the program may know.
//! - **A version of a skill never changes.** It is an immutable [revision](store::servers) that an installation pins; to
//!   the gateway it is an MCP server like any other ([`upstream::skill`]), so that no rule has an exception for it.
//! - **Everything is bounded.** Every queue, body, depth, list, retry, restart and wait has a limit with a name in
//!   [`config`]. What does not fit is refused with the time to come back, or dropped and counted if it is a statistic.
//! - **Every wait has a deadline**, given by whoever started the work, never by a default deep inside.
//! - **Bytes stay bytes.** One scan finds the envelope's parts and refuses what is ambiguous (duplicate keys, over-deep
//!   or folded names); requests and answers are then spliced, not re-serialized. Large numbers and unknown members
//!   arrive as they were sent.
//! - **The era is decided per request**, from its body and headers, never per connection or token. Session ids of older
//!   revisions are sealed state, not rows: they survive a restart.
//! - **Who acts is read per request.** A credential says who somebody is and the most they may do; what they may do now is
//!   their role in the namespace at this moment. A session changes something only from a page of that session
//!   ([`admin::cookie`]).
//! - **An actor may die.** The [`supervisor`](actors::supervisor) builds it anew from its factory; only TokenAuthority,
//!   SecretVault, WorkspaceCatalog and AuditLog may end the process, and only when they do not come back. What one
//!   server does concerns only that server's actors.
//! - **Every administrative act is in its own transaction's audit entry**, in a chain that shows tampering
//!   ([`domain::audit_chain`]).
//! - **Time is an argument.** The clock is read in [`domain::clock`] only.
//!
//! ## A call
//!
//! `tools/call` for `github__create_issue`, from a socket and back:
//!
//! 1. [`gateway::front`] checks `Host` and `Origin`, hashes the bearer token and looks the hash up in the ledger of
//!    grants: a map read, no message. A hash that is not there is asked of the TokenAuthority, behind a limit on failed
//!    look-ups.
//! 2. The body is read within its size and time and scanned once. [`gateway::era`] decides how the client speaks.
//! 3. The grant's window counts the request: exactly 120 in any 60 seconds, unless the token has its own limit.
//! 4. [`gateway::call`] finds the tool in the workspace's routing table. Names are never split; a prefix is only a name.
//!    What is switched off, or waits for approval ([`actors::catalog_policy`]), is not in it. A token with a
//!    [`scope`](domain::scope) is asked whether it may use the tool; the list it sees is made by the same rule.
//! 5. A lease ([`actors::upstream_lease`]) on the server is taken from this thread's `UpstreamLane`: a permit, the
//!    connection, the negotiated revision, the decrypted headers. If the server was never spoken to, its
//!    `UpstreamSession` connects now, once for everybody who waits.
//! 6. The request goes out with an id of ours that nobody can guess, the server's own name of the tool, `_meta` of this
//!    hop and the server's secrets as headers. Arguments are the client's bytes.
//! 7. The answer (one body, or events until it comes) is searched for secrets, its id is put back, what the client's
//!    revision needs is added, and it is written. Every poll that may write passes the grant's gate.
//! 8. Statistics, one log line and, if traces are exported, two spans are left behind. None of them is waited for; whoever
//!    watches sees the call a moment later, on its way into the statistics ([`actors::call_feed`]). A call
//!    that is refused before it has a server leaves its log line only; who may not enter at all is counted in the audit
//!    log ([`gateway::refused`]).
//!
//! A client that leaves cancels the call at the server where its revision means that; on a legacy session the call goes
//! on. A server that forgot its session is connected to again, once, invisibly. A request that was sent and whose answer
//! was lost is not repeated: the client is told that its outcome is unknown.
//!
//! ## A server that asks
//!
//! A call may be more than one request and one answer ([`gateway::call`]). A legacy server that wants something of the
//! client asks in a session of that client's own, which declares what the client declared ([`actors::upstreams`]); the
//! shared session declares nothing. A program is asked by all clients in one process unless its definition says
//! `isolation = "session"`. A legacy client is asked on the call's stream, under an id of ours, and answers with a
//! POST of its own ([`actors::client`]). A client of 2026-07-28 gets `input_required` and a sealed state
//! ([`protocol::parked`]); the call waits on the thread that began it until the client comes back, on any worker
//! ([`gateway::call::park`]). A server of 2026-07-28 never asks: its `input_required` is passed on as it is, or, for a
//! legacy client, its questions are asked for it and the call is made again ([`protocol::mrtr`]).
//!
//! [`compatibility`] is the table of all revisions on both sides, over every transport.
//!
//! ## A revocation
//!
//! 1. `DELETE …/tokens/{id}` asks the TokenAuthority, which is the only writer of tokens, one turn after the other.
//! 2. The row and its audit entry are committed in one transaction.
//! 3. The hash is taken out of the ledger and the ledger's epoch grows. A look-up that read the database before the
//!    commit finds another epoch and reads again, so that it cannot bring the grant back.
//! 4. [`Grant::kill`](actors::grant::Grant::kill): the flag is set, the token's streams and calls are cancelled, and the
//!    revoker waits until no worker is inside the gate.
//! 5. Only then the answer is given. A restarted TokenAuthority compares the ledger with the database before it answers
//!    anybody.
//!
//! ## Left out on purpose
//!
//! - **No middleware that decides.** Who calls is a value a function returns and the next one demands.
//! - **No cache of tokens with a time to live**, and no look-up per call either: the map is exact because it has one
//!   writer.
//! - **No typed model of MCP.** What is only passed on has no struct; new members of the protocol pass through.
//! - **No HTTP/2, no redirects, no proxies from the environment, no decompression** towards MCP servers: each would be
//!   a way around the network policy or the limits.
//! - **No configuration at run time, no globals.** Settings are read once, checked together, and passed down.
//! - **No actor without state of its own**, and no unbounded message: `actix::Addr` is used in two files only.
//! - **No pieces for later.** What is not there yet is listed in the README, not stubbed here.

// In reading order.
pub mod error;

pub mod config;
pub mod domain;
pub mod telemetry;

pub mod protocol;

pub mod mail;
pub mod store;
pub mod upstream;

pub mod actors;

pub mod admin;
pub mod cli;
pub mod demo;
pub mod gateway;
pub mod ops;
pub mod web;

pub mod connect;
pub mod host;
pub mod serve;

#[doc = include_str!("docs/compatibility.md")]
pub mod compatibility {}
