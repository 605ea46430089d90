//! Logins of command lines that somebody confirms in a browser. The command line asks with a secret of its own and shows a
//! short code; whoever is signed in compares the code and says yes; the command line fetches its key once.

use std::net::IpAddr;

use chrono::TimeDelta;
use secrecy::SecretString;

use crate::{
    actors::{
        authority::Authority,
        authority_invites::acting_at_home,
        authority_keys::{IssuedApiKey, insert_key},
        authority_sessions::Where,
    },
    domain::{
        ids::{ApiKeyId, LoginId},
        role::Principal,
        token::{self, Credential, TokenHash},
        user_code,
        visible::is_invisible,
    },
    error::{Error, ErrorCode, Result, err},
    store::{
        accounts::{self, AccountRecord},
        api_keys::ApiKeyRecord,
        audit::{AuditEntry, AuditKind},
        login_requests::{self, LoginRecord},
    },
};

/// Longest description of a command line, in characters.
const CLIENT_CHARS: usize = 60;

/// A login that was begun. `raw` is what the command line asks with.
pub struct BegunLogin {
    /// What is stored of it.
    pub record: LoginRecord,
    /// The command line's secret.
    pub raw: SecretString,
}

/// A code that somebody typed in a browser.
#[derive(Debug, Clone)]
pub struct TypedCode {
    /// The code, as it was typed.
    pub code: String,
    /// From where.
    pub address: IpAddr,
}

/// What somebody says to a login.
#[derive(Debug, Clone)]
pub struct AnswerLogin {
    /// Which login.
    pub login: LoginId,
    /// Yes or no.
    pub yes: bool,
    /// Who says it: somebody who is signed in.
    pub by: Principal,
}

/// A command line asks whether it may have its key.
#[derive(Debug, Clone)]
pub struct PollLogin {
    /// Hash of its secret.
    pub hash: TokenHash,
    /// From where it asks.
    pub address: IpAddr,
}

/// How far a login is.
pub enum LoginState {
    /// Nobody has answered yet.
    Waiting,
    /// Here is the key, this once.
    Confirmed(Box<(IssuedApiKey, AccountRecord)>),
}

fn over() -> Error {
    err::gone("This login is over: it was refused, its key was fetched, or its time is over")
        .with_hint("begin again: aerostack login")
}

impl Authority {
    pub(super) async fn begin_login(&self, at: Where) -> Result<BegunLogin> {
        self.open.count(at.address)?;
        let now = self.ledger.now();
        let fresh = token::generate(Credential::Rec);
        let record = LoginRecord {
            id: LoginId::generate(),
            user_code: user_code::generate(),
            client: at.client.chars().filter(|c| !is_invisible(*c)).take(CLIENT_CHARS).collect(),
            address: at.address.to_string(),
            created_at: now,
            expires_at: now + TimeDelta::minutes(self.people.login_minutes.into()),
            confirmed_by: None,
            ended_at: None,
        };
        let (row, hash, most) = (record.clone(), fresh.hash, self.people.logins);
        self.store
            .upkeep(move |tx| {
                Box::pin(async move {
                    if login_requests::count(tx.conn()).await? >= most {
                        login_requests::prune(tx, now).await?;
                    }
                    if login_requests::count(tx.conn()).await? >= most {
                        let full = Error::new(ErrorCode::Overloaded, "Too many logins wait for a browser");
                        return Err(full.with_retry_after(60));
                    }
                    login_requests::insert(tx, &row, &hash).await
                })
            })
            .await?;
        Ok(BegunLogin { record, raw: fresh.raw })
    }

    /// The login with this code that waits for an answer. Codes that nobody has are counted.
    pub(super) async fn login_of_code(&self, typed: TypedCode) -> Result<Option<LoginRecord>> {
        let now = self.ledger.now();
        let look = async {
            let Some(code) = user_code::parse(&typed.code) else { return Ok(None) };
            self.store.read(move |db| async move { login_requests::waiting(&db, &code, now).await }).await
        };
        self.failed.attempt(typed.address, look).await
    }

    pub(super) async fn answer_login(&self, answer: AnswerLogin) -> Result<()> {
        let now = self.ledger.now();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let done = match answer.yes {
                        true => login_requests::confirm(tx, answer.login, answer.by.account, now).await?,
                        false => login_requests::end(tx, answer.login, now).await?,
                    };
                    if !done {
                        return Err(over());
                    }
                    let action = if answer.yes { "login_confirmed" } else { "login_refused" };
                    let entry = AuditEntry {
                        namespace: answer.by.account,
                        kind: AuditKind::Security,
                        ..AuditEntry::new(&answer.by, action, ("login", &answer.login.to_string()))
                    };
                    tx.audit(entry).await
                })
            })
            .await
    }

    pub(super) async fn poll_login(&self, poll: PollLogin) -> Result<LoginState> {
        self.open.count(poll.address)?;
        let (now, hash) = (self.ledger.now(), poll.hash);
        let read = self.store.read(move |db| async move { login_requests::by_hash(&db, &hash).await });
        let found = self.failed.attempt(poll.address, read).await?;
        let login = found.filter(|login| login.is_open(now)).ok_or_else(over)?;
        let Some(account) = login.confirmed_by else { return Ok(LoginState::Waiting) };
        let fresh = token::generate(Credential::Aak);
        let (hash, hint, most) = (fresh.hash, fresh.hint, self.people.api_keys);
        let (record, account) = self
            .store
            .write(move |tx| {
                Box::pin(async move {
                    if !login_requests::end(tx, login.id, now).await? {
                        return Err(over());
                    }
                    let account = accounts::get(tx.conn(), account).await?.ok_or_else(over)?;
                    let record = ApiKeyRecord {
                        id: ApiKeyId::generate(),
                        account: account.id,
                        namespace: account.id,
                        bound: false,
                        name: format!("login of {}", login.client),
                        hint,
                        max_role: None,
                        created_at: now,
                        expires_at: None,
                        last_used_at: None,
                        revoked_at: None,
                    };
                    let by = acting_at_home(&account);
                    Ok((insert_key(tx, record, &by, &hash, most).await?, account))
                })
            })
            .await?;
        Ok(LoginState::Confirmed(Box::new((IssuedApiKey { record, raw: fresh.raw }, account))))
    }
}
