//! What an editor sees at `/ws/{slug}`.

mod arguments;
mod asking;
mod authentication;
mod bad_input;
mod cancellation;
mod http_sse;
mod legacy;
mod listening;
mod lists;
mod modern;
mod origin;
mod parked;
mod passing_on;
mod paths;
mod progress;
mod rate_limit;
mod resuming;
mod revocation;
mod revocation_race;
mod rounds;
mod subscriptions;
mod tasks;
mod upstream_faults;
mod upstream_sessions;
