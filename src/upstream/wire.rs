//! How a server is talked to: the verdict of a negotiation.

use std::sync::Arc;

use serde_json::value::RawValue;
use url::Url;

use crate::{
    domain::clock::Timestamp,
    protocol::{revision::Revision, scrub::Scrubber},
};

/// How a server is talked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wire {
    /// Revision 2026-07-28 or later: every request stands alone.
    Modern {
        /// The revision both sides speak.
        revision: Revision,
    },
    /// Streamable HTTP after a handshake.
    Streamable {
        /// The negotiated revision.
        revision: Revision,
        /// The server's session, if it gave one.
        session: Option<Arc<str>>,
    },
    /// HTTP+SSE: requests are posted here, answers come on the stream the session actor holds.
    Sse {
        /// The negotiated revision.
        revision: Revision,
        /// Where messages are posted.
        post: Url,
    },
    /// Lines to and from a process.
    Stdio {
        /// The revision both sides speak.
        revision: Revision,
    },
}

impl Wire {
    /// The revision spoken.
    pub fn revision(&self) -> Revision {
        match self {
            Wire::Modern { revision }
            | Wire::Streamable { revision, .. }
            | Wire::Sse { revision, .. }
            | Wire::Stdio { revision } => *revision,
        }
    }

    /// Whether every request stands alone (2026-07-28).
    pub fn is_modern(&self) -> bool {
        match self {
            Wire::Modern { .. } => true,
            Wire::Streamable { .. } | Wire::Sse { .. } => false,
            Wire::Stdio { revision } => revision.is_modern(),
        }
    }

    /// Whether all answers come on the one stream that the session's actor reads.
    pub fn is_relayed(&self) -> bool {
        matches!(self, Wire::Sse { .. } | Wire::Stdio { .. })
    }

    /// The server's session id, if there is one.
    pub fn session(&self) -> Option<&Arc<str>> {
        match self {
            Wire::Streamable { session, .. } => session.as_ref(),
            _ => None,
        }
    }

    /// The transport in the words of an admin.
    pub fn label(&self) -> &'static str {
        match self {
            Wire::Modern { .. } => "Streamable HTTP (stateless)",
            Wire::Streamable { .. } => "Streamable HTTP",
            Wire::Sse { .. } => "HTTP+SSE",
            Wire::Stdio { .. } => "stdio",
        }
    }
}

/// A server that has been asked what it is.
#[derive(Debug)]
pub struct Connected {
    /// How it is talked to.
    pub wire: Wire,
    /// Its `serverInfo`, as it came.
    pub server_info: Option<Box<RawValue>>,
    /// Its capabilities.
    pub capabilities: serde_json::Value,
    /// What it says models should know.
    pub instructions: Option<String>,
    /// When it was asked.
    pub at: Timestamp,
}

impl Connected {
    /// Whether the server declared `capability` (for example `tools`, or `tools/listChanged`).
    pub fn declares(&self, capability: &str) -> bool {
        let mut value = &self.capabilities;
        for step in capability.split('/') {
            match value.get(step) {
                Some(serde_json::Value::Null | serde_json::Value::Bool(false)) | None => return false,
                Some(inner) => value = inner,
            }
        }
        true
    }

    /// The same without the secrets that the server was given.
    pub fn scrubbed(self, scrubber: &Scrubber) -> Connected {
        let info =
            |raw: Box<RawValue>| RawValue::from_string(scrubber.scrub_text(String::from(Box::<str>::from(raw))).0).ok();
        let (capabilities, hits) = scrubber.scrub_text(self.capabilities.to_string());
        Connected {
            server_info: self.server_info.and_then(info),
            capabilities: match hits {
                0 => self.capabilities,
                _ => serde_json::from_str(&capabilities).unwrap_or_default(),
            },
            instructions: self.instructions.map(|text| scrubber.scrub_text(text).0),
            ..self
        }
    }

    /// Name and version from `serverInfo`, for people.
    pub fn name_and_version(&self) -> (Option<String>, Option<String>) {
        #[derive(serde::Deserialize)]
        struct Info {
            name: Option<String>,
            version: Option<String>,
        }
        let info = self.server_info.as_deref().and_then(|raw| serde_json::from_str::<Info>(raw.get()).ok());
        info.map_or((None, None), |info| (info.name, info.version))
    }
}
