//! With what somebody acts, looked at once more when the act is committed. Who acts was found out when the request came
//! in; its body may have come much later, and the account may have lost its key, its session or its role meanwhile.

use sea_orm::ConnectionTrait;

use crate::{
    domain::{
        clock,
        ids::{AccountId, ApiKeyId, SessionId},
        role::{Principal, Role},
    },
    error::{Error, ErrorCode, Result, err},
    store::{accounts, api_keys, sign_ins},
};

/// An account, its role in a namespace, and the credential that it came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warrant {
    account: AccountId,
    namespace: AccountId,
    role: Role,
    api_key: Option<ApiKeyId>,
    session: Option<SessionId>,
}

impl Warrant {
    /// Of who acts. None: the gateway itself, or somebody who proved who they are in the act.
    pub fn of(by: &Principal) -> Option<Self> {
        let (api_key, session) = (by.api_key, by.session);
        let came_with_something = api_key.is_some() || session.is_some();
        came_with_something.then_some(Warrant {
            account: by.account,
            namespace: by.namespace,
            role: by.role,
            api_key,
            session,
        })
    }

    /// Goes on only while the credential is in force and the role is no lower.
    ///
    /// # Errors
    /// `unauthorized` and `forbidden`.
    pub(super) async fn require(&self, db: &impl ConnectionTrait) -> Result<()> {
        let now = clock::now();
        let active = match (self.api_key, self.session) {
            (Some(key), _) => api_keys::get(db, self.account, key).await?.is_some_and(|key| key.is_active(now)),
            (None, Some(session)) => {
                let open = sign_ins::list(db, self.account, now).await?;
                open.iter().any(|known| known.id == session)
            }
            (None, None) => true,
        };
        if !active {
            let ended = "Unauthorized: the API key or session was ended meanwhile; nothing was done";
            return Err(Error::new(ErrorCode::Unauthorized, ended));
        }
        match accounts::role_of(db, self.namespace, self.account).await? {
            Some(role) if role >= self.role => Ok(()),
            _ => Err(err::forbidden("Your role was changed meanwhile; nothing was done")
                .with_hint("aerostack whoami shows what it is now")),
        }
    }
}
