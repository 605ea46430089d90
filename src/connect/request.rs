//! A request of the client while it is under way, and the patience it is carried with.

use std::{cell::Cell, time::Duration};

use awc::http::header::HeaderValue;
use bytes::Bytes;

use super::GATEWAY_BACK;
use crate::{domain::clock, protocol::scan::Envelope};

/// A request of the client.
pub(super) struct Request {
    pub(super) line: Bytes,
    pub(super) env: Box<Envelope>,
    pub(super) id: Bytes,
    pub(super) method: String,
    /// The revision it names itself, if it is of the stateless era.
    pub(super) modern: Option<HeaderValue>,
    pub(super) cancelled: Cell<bool>,
    /// A listen request that was acknowledged before.
    pub(super) acknowledged: Cell<bool>,
}

impl Request {
    /// Whether it lasts until the client ends it.
    pub(super) fn listens(&self) -> bool {
        self.modern.is_some() && self.method == "subscriptions/listen"
    }

    /// That it may have arrived does not matter: sending it twice changes nothing.
    pub(super) fn repeatable(&self) -> bool {
        matches!(
            self.method.as_str(),
            "ping"
                | "server/discover"
                | "tools/list"
                | "prompts/list"
                | "prompts/get"
                | "resources/list"
                | "resources/templates/list"
                | "resources/read"
                | "resources/subscribe"
                | "resources/unsubscribe"
                | "completion/complete"
                | "logging/setLevel"
                | "tasks/get"
                | "tasks/list"
                | "tasks/result"
                | "subscriptions/listen"
        )
    }
}

/// Pauses between attempts, up to a deadline.
pub(super) struct Retry {
    pub(super) until: Option<std::time::Instant>,
    pub(super) pause: Duration,
}

impl Retry {
    pub(super) const FIRST: Duration = Duration::from_millis(100);
    pub(super) const LONGEST: Duration = Duration::from_secs(2);

    /// For as long as a gateway may take to come back.
    pub(super) fn new() -> Self {
        Retry { until: Some(clock::instant() + GATEWAY_BACK), pause: Self::FIRST }
    }
    /// For as long as the client wants it.
    pub(super) fn endless() -> Self {
        Retry { until: None, pause: Self::FIRST }
    }
}
