//! How MCP servers are reached: the network policy, the HTTP client, the exchange of one message, the negotiation of
//! the protocol. Knows no actor and no store; everything here is called by `actors::upstream_*`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    config::UpstreamConfig,
    domain::{
        ids::{AccountId, RevisionId, ServerId},
        server::ServerSpec,
    },
};

pub mod address;
pub mod ask;
pub mod backoff;
mod body;
pub mod breaker;
pub mod client;
pub mod ears;
pub mod exchange;
pub mod failure;
#[cfg(test)]
pub(crate) mod fake;
pub mod guard;
mod h1;
mod h1_client;
pub mod listen;
pub mod lists;
mod lost;
pub mod mint;
pub mod mirror;
pub mod negotiate;
pub mod patience;
pub mod relay;
mod response;
pub mod skill;
mod sse;
pub mod stdio;
pub mod stream;
pub mod wire;

pub use breaker::Breaker;
pub use exchange::Answer;
pub use failure::UpstreamError;
pub use guard::{NetworkPolicy, Refusal};
pub use stream::EventStream;
pub use wire::{Connected, Wire};

/// One revision of an MCP server's definition, with what all threads share about it. A changed definition is a new
/// value; the old one is retired.
#[derive(Debug)]
pub struct ServerDef {
    /// The server.
    pub id: ServerId,
    /// Its name in commands and tool prefixes.
    pub slug: Arc<str>,
    /// Who owns it.
    pub namespace: AccountId,
    /// Where it is and how to talk to it.
    pub spec: ServerSpec,
    /// This revision.
    pub revision: RevisionId,
    /// Cancelled when the server is removed or another revision takes its place: whatever serves it stops.
    pub retired: CancellationToken,
    /// Whether it is worth asking.
    pub breaker: Breaker,
    /// Calls under way, on all threads.
    pub in_flight: AtomicUsize,
}

impl ServerDef {
    /// A definition that nobody has called yet.
    pub fn new(
        (id, slug, namespace): (ServerId, Arc<str>, AccountId),
        (revision, spec): (RevisionId, ServerSpec),
        config: &UpstreamConfig,
    ) -> Self {
        ServerDef {
            id,
            slug,
            namespace,
            spec,
            revision,
            retired: CancellationToken::new(),
            breaker: Breaker::new(config),
            in_flight: AtomicUsize::new(0),
        }
    }

    /// Leave to make one call: the server is not resting and not full. Counted until the permit is dropped.
    pub fn admit(self: &Arc<Self>, config: &UpstreamConfig) -> Result<Permit, UpstreamError> {
        let most = self.spec.max_in_flight.unwrap_or(config.calls_per_server);
        if self.in_flight.fetch_add(1, SeqCst) >= most {
            self.in_flight.fetch_sub(1, SeqCst);
            return Err(UpstreamError::Overloaded(most));
        }
        match self.breaker.admit() {
            Ok(admission) => Ok(Permit { server: self.clone(), admission }),
            Err(open) => {
                self.in_flight.fetch_sub(1, SeqCst);
                Err(UpstreamError::Resting(open))
            }
        }
    }

    /// How long an answer, or the next piece of one, is waited for.
    pub fn call_timeout(&self, config: &UpstreamConfig) -> Duration {
        Duration::from_secs(self.spec.timeout_seconds.unwrap_or(config.call_timeout_seconds))
    }

    /// How long a whole call may take.
    pub fn call_total(&self, config: &UpstreamConfig) -> Duration {
        Duration::from_secs(self.spec.total_seconds.unwrap_or(config.call_total_seconds))
    }
}

/// One of the calls a server may have under way. Travels with the answer: a stream counts until it ends.
#[derive(Debug)]
pub struct Permit {
    server: Arc<ServerDef>,
    admission: breaker::Admission,
}

impl Permit {
    /// Tells the breaker how the call went.
    pub fn report(&self, failure: Option<&UpstreamError>) {
        match failure {
            Some(failure) if failure.is_outage() => self.server.breaker.failed(),
            _ => self.server.breaker.succeeded(),
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.server.in_flight.fetch_sub(1, SeqCst);
        self.server.breaker.release(self.admission);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(most: Option<usize>) -> Arc<ServerDef> {
        let mut spec = ServerSpec::for_url("http://127.0.0.1:9/mcp").unwrap();
        spec.max_in_flight = most;
        let names = (ServerId::generate(), "fixture".into(), AccountId::generate());
        Arc::new(ServerDef::new(names, (RevisionId::generate(), spec), &UpstreamConfig::default()))
    }

    #[test]
    fn a_server_is_given_no_more_calls_than_it_may_have() {
        let config = UpstreamConfig::default();
        let server = server(Some(2));
        let first = server.admit(&config).unwrap();
        let _second = server.admit(&config).unwrap();
        assert!(matches!(server.admit(&config), Err(UpstreamError::Overloaded(2))));
        drop(first);
        assert!(server.admit(&config).is_ok());
    }

    #[test]
    fn a_call_that_reports_nothing_leaves_the_probe_to_the_next() {
        let config = UpstreamConfig { breaker_failures: 1, ..UpstreamConfig::default() };
        let server = server(None);
        server.admit(&config).unwrap().report(None);
        assert!(server.breaker.is_closed());
        for _ in 0..5 {
            server.breaker.failed();
        }
        assert!(matches!(server.admit(&config), Err(UpstreamError::Resting(_))));
        assert_eq!(server.in_flight.load(SeqCst), 0);
    }
}
