//! Roles and the one function that checks them.

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        ids::{AccountId, ApiKeyId, SessionId},
        seen::Seen,
    },
    error::{Result, err},
};

/// What an account may do in a namespace. Ordered: each role may do everything the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The gateway URL and own calls.
    Viewer,
    /// Own tokens, installing skills into shared workspaces.
    Member,
    /// Everything but owner and plan.
    Admin,
    /// Everything.
    Owner,
}

impl Role {
    /// The stored and shown name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Member => "member",
            Role::Admin => "admin",
            Role::Owner => "owner",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = crate::error::Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "viewer" => Ok(Role::Viewer),
            "member" => Ok(Role::Member),
            "admin" => Ok(Role::Admin),
            "owner" => Ok(Role::Owner),
            other => {
                Err(err::validation(format!("No role \"{other}\"")).with_hint("use owner, admin, member or viewer"))
            }
        }
    }
}

/// Who acts: an account, in a namespace, with a role there. Handlers demand it as an argument, so none is reached
/// without one.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The account that acts.
    pub account: AccountId,
    /// The namespace acted in.
    pub namespace: AccountId,
    /// The account's user name.
    pub username: Arc<str>,
    /// How the audit log names the actor: the e-mail address, else `name@namespace`.
    pub label: Arc<str>,
    /// The role in `namespace`.
    pub role: Role,
    /// The API key used, if one was.
    pub api_key: Option<ApiKeyId>,
    /// The session used, if one was.
    pub session: Option<SessionId>,
    /// The request it acts with, as logs and the audit log name it.
    pub request: Option<Arc<str>>,
    /// Where that request came from.
    pub address: Option<IpAddr>,
    /// What it has seen of the thing that it changes, if it said so: nothing is written if that has changed.
    pub seen: Option<Arc<Seen>>,
}

impl Principal {
    /// Goes on only with at least `role`.
    pub fn require(&self, role: Role) -> Result<()> {
        if self.role >= role {
            return Ok(());
        }
        Err(err::forbidden(format!("This needs the role {role}; yours is {}", self.role))
            .with_hint("ask an owner of this namespace to do it or to change your role"))
    }

    /// Goes on only if this role may be given, or taken from somebody, by who acts: nobody gives more than they have.
    pub fn may_give(&self, role: Role) -> Result<()> {
        self.require(Role::Admin)?;
        self.require(role)
    }

    /// The gateway itself, acting in `namespace` (first start, retention, demo).
    pub fn system(namespace: AccountId) -> Self {
        Principal {
            account: namespace,
            namespace,
            username: "aerostack".into(),
            label: "aerostack".into(),
            role: Role::Owner,
            api_key: None,
            session: None,
            request: None,
            address: None,
            seen: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_may_do_what_the_lower_ones_may() {
        let mut someone = Principal::system(AccountId::generate());
        someone.role = Role::Member;
        assert!(someone.require(Role::Viewer).is_ok());
        assert!(someone.require(Role::Member).is_ok());
        assert!(someone.require(Role::Admin).is_err());
        assert!(someone.may_give(Role::Viewer).is_err(), "a member lets nobody in");
        someone.role = Role::Admin;
        assert!(someone.may_give(Role::Admin).is_ok() && someone.may_give(Role::Owner).is_err());
    }
}
