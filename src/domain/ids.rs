//! Identifiers: UUID v7 inside, a prefix that names the kind outside (`tok_0190c0de…`, 32 hex digits).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::domain::{clock::Timestamp, random};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Uuid);

        impl $name {
            /// What stands before the hex digits.
            pub const PREFIX: &'static str = $prefix;
            /// A fresh, time-ordered id.
            pub fn generate() -> Self { $name(Uuid::now_v7()) }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, concat!($prefix, "{}"), self.0.simple()) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(self, f) }
        }
        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                let hex = text.strip_prefix($prefix).ok_or(BadId)?;
                if hex.len() != 32 { return Err(BadId) }
                Uuid::try_parse(hex).map($name).map_err(|_| BadId)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> { s.collect_str(self) }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self { $name(id) }
        }
    )*};
}

ids! {
    /// A person who can sign in. Its id is also the id of its namespace.
    AccountId, "acc_";
    /// A gateway URL and the servers installed in it.
    WorkspaceId, "ws_";
    /// A workspace token (`mwt_…` is its value, never its id).
    TokenId, "tok_";
    /// An account's key for the admin API.
    ApiKeyId, "key_";
    /// An MCP server definition.
    ServerId, "srv_";
    /// An immutable revision of a server definition.
    RevisionId, "rev_";
    /// An MCP server in a workspace.
    InstallationId, "ins_";
    /// A stored secret.
    SecretId, "sec_";
    /// Somebody signed in on the pages (`ses_…` is the cookie's value, never its id).
    SessionId, "sin_";
    /// An invitation to a namespace (`inv_…` is the link's code, never its id).
    InviteId, "ivt_";
    /// A command line that waits for a browser.
    LoginId, "lgn_";
    /// One tool call.
    CallId, "call_";
}

impl CallId {
    /// The id of a call that began `at`: time-ordered like every other, its random part out of this thread's pool.
    pub fn of_call(at: Timestamp) -> Self {
        let millis = u64::try_from(at.timestamp_millis()).unwrap_or_default();
        CallId(uuid::Builder::from_unix_timestamp_millis(millis, &random::pooled()).into_uuid())
    }

    /// When the call began, to the millisecond.
    pub fn began(self) -> Timestamp {
        let millis = i64::try_from(self.0.as_u128() >> 80).unwrap_or_default();
        Timestamp::from_timestamp_millis(millis).unwrap_or_default()
    }

    /// Not greater than any id of a call that began in the millisecond of `at` or later, and greater than all before.
    pub fn first_of(at: Timestamp) -> Self {
        let millis = u64::try_from(at.timestamp_millis()).unwrap_or_default();
        CallId(uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid())
    }
}

/// The text is not an id of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of this kind")]
pub struct BadId;
