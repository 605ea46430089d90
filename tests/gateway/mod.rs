//! What an editor sees at `/ws/{slug}`.

mod arguments;
mod authentication;
mod bad_input;
mod cancellation;
mod http_sse;
mod legacy;
mod listening;
mod lists;
mod modern;
mod origin;
mod paths;
mod progress;
mod rate_limit;
mod revocation;
mod revocation_race;
mod subscriptions;
mod upstream_faults;
mod upstream_sessions;
