//! Sessions of people on the pages, and passwords. Each sign-in makes a new session; its cookie's value is looked up by
//! hash in the database each time, so a session that was ended, and a role that was changed, count at once.

use std::net::IpAddr;

use chrono::TimeDelta;
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    actors::{
        authority::Authority,
        authority_keys::{Acting, Asked, is_limited, principal},
        passwords::Verdict,
    },
    domain::{
        clock::Timestamp,
        ids::{AccountId, SessionId},
        password,
        role::Principal,
        token::{self, Credential},
        visible::is_invisible,
    },
    error::{Error, ErrorCode, Result, err},
    store::{
        Tx,
        accounts::{self, AccountRecord},
        audit::{ActorKind, AuditEntry, AuditKind},
        kept_answers, login_requests, passwords,
        sign_ins::{self, SignInRecord},
    },
};

/// Rows per transaction when times are written.
const FLUSH_ROWS: usize = 500;
/// Longest description of a browser that is kept, in characters.
const CLIENT_CHARS: usize = 200;

/// Where somebody signs in.
#[derive(Debug, Clone)]
pub struct Where {
    /// What the browser calls itself.
    pub client: String,
    /// Its address.
    pub address: IpAddr,
}

/// Somebody who wants to sign in.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// User name or e-mail address.
    pub name: String,
    /// The password, as it was typed.
    pub password: SecretString,
    /// Where.
    pub at: Where,
}

/// Somebody signed in. `raw` goes into the cookie and nowhere else.
pub struct SignedIn {
    /// What is stored of the session.
    pub record: SignInRecord,
    /// The cookie's value.
    pub raw: SecretString,
    /// Who it is.
    pub account: AccountRecord,
}

/// A session to be ended.
#[derive(Debug, Clone)]
pub struct EndSession {
    /// Which one, of the account that acts.
    pub session: SessionId,
    /// Who does it.
    pub by: Principal,
}

/// Another password.
#[derive(Debug, Clone)]
pub struct ChangePassword {
    /// The one until now; needed if there is one.
    pub current: Option<SecretString>,
    /// The next one, as it was typed.
    pub next: SecretString,
    /// Whose, and who does it.
    pub by: Principal,
    /// From where.
    pub address: IpAddr,
}

fn wrong() -> Error {
    Error::new(ErrorCode::Unauthorized, "The user name or password is wrong").with_hint(
        "an account that was made at the first start has no password until `aerostack account password` sets one",
    )
}

/// An entry in the log of the account's own namespace.
fn entry(account: &AccountRecord, action: &str) -> AuditEntry {
    let label = accounts::label(account, account);
    let entry = AuditEntry::by_actor(account.id, (ActorKind::User, &label), action, ("account", &account.username));
    AuditEntry { kind: AuditKind::Security, ..entry }
}

impl Authority {
    /// Signs in with a password.
    pub(super) async fn sign_in(&self, wanted: SignIn) -> Result<SignedIn> {
        self.open.count(wanted.at.address)?;
        self.pace.attempt(&wanted.name, wanted.at.address)?;
        let name = wanted.name.trim().to_lowercase();
        let found = self
            .store
            .read(move |db| async move {
                let account = match name.contains('@') {
                    true => accounts::by_email(&db, &name).await?,
                    false => accounts::by_username(&db, &name).await?,
                };
                let Some(account) = account else { return Ok(None) };
                let hash = passwords::get(&db, account.id).await?;
                Ok(Some((account, hash)))
            })
            .await?;
        let typed = SecretString::from(password::normal(wanted.password.expose_secret()).as_str());
        let stored = found.as_ref().and_then(|(_, hash)| hash.clone());
        let verdict = self.passwords.verify(&typed, stored).await?;
        let (Verdict::Right { outdated }, Some((account, _))) = (verdict, found) else { return Err(wrong()) };
        self.pace.right(&wanted.name, wanted.at.address);
        let renewed = if outdated { Some(self.passwords.hash(&typed).await?) } else { None };
        self.begin_session(account, wanted.at, renewed).await
    }

    /// Begins a session for somebody who has proved who they are.
    pub(super) async fn begin_session(
        &self,
        account: AccountRecord,
        at: Where,
        renewed: Option<String>,
    ) -> Result<SignedIn> {
        let now = self.ledger.now();
        let fresh = token::generate(Credential::Ses);
        let record = SignInRecord {
            id: SessionId::generate(),
            account: account.id,
            client: at.client.chars().filter(|c| !is_invisible(*c)).take(CLIENT_CHARS).collect(),
            address: at.address.to_string(),
            created_at: now,
            seen_at: now,
            expires_at: now + TimeDelta::days(self.people.session_days.into()),
            ended_at: None,
        };
        let (row, hash, of, most) = (record.clone(), fresh.hash, account.clone(), self.people.sessions_per_account);
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    accounts::lock(tx, of.id).await?;
                    if let Some(renewed) = renewed {
                        passwords::set(tx, of.id, &renewed, now).await?;
                    }
                    make_room(tx, of.id, most, now).await?;
                    sign_ins::insert(tx, &row, &hash).await?;
                    tx.audit(entry(&of, "signed_in").with("address", row.address.clone())).await
                })
            })
            .await?;
        self.used_sessions.note(record.id);
        Ok(SignedIn { record, raw: fresh.raw, account })
    }

    /// Who acts with this cookie, with the role they have at this moment.
    pub(super) async fn find_session(&self, asked: Asked) -> Result<Option<Principal>> {
        let (now, hash) = (self.ledger.now(), asked.hash);
        let found = self.store.read(move |db| async move { sign_ins::by_hash(&db, &hash).await }).await?;
        let Some(session) = found.filter(|session| session.ended_at.is_none() && now < session.expires_at) else {
            return Ok(None);
        };
        if self.is_idle(&session, now) {
            return Ok(None);
        }
        let (id, acting) = (session.id, Acting::of_session(&session));
        let principal =
            self.store.read(move |db| async move { principal(&db, acting, asked.namespace.as_deref()).await }).await?;
        if principal.is_some() {
            self.used_sessions.note(id);
        }
        Ok(principal)
    }

    /// Ends a session; its cookie is worth nothing when this returns.
    pub(super) async fn end_session(&self, ending: EndSession) -> Result<()> {
        let now = self.ledger.now();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let account = account_of(tx, ending.by.account).await?;
                    if !sign_ins::end(tx, account.id, ending.session, now).await? {
                        return Err(err::not_found("No such session"));
                    }
                    let entry = entry(&account, "signed_out").with("session", ending.session.to_string());
                    let own = ending.by.session == Some(ending.session);
                    tx.audit(if own { entry } else { entry.warrant(&ending.by) }).await
                })
            })
            .await
    }

    /// Gives the account that acts another password and ends its other sessions.
    pub(super) async fn change_password(&self, change: ChangePassword) -> Result<u64> {
        let (account, by) = (change.by.account, change.by.clone());
        let (stored, limited) = self
            .store
            .read(move |db| async move { Ok((passwords::get(&db, account).await?, is_limited(&db, &by).await?)) })
            .await?;
        match (stored, change.current) {
            (None, _) if change.by.session.is_some() => return Err(err::conflict("This account has no password")),
            (None, _) if limited => return Err(err::forbidden("A limited API key cannot set a password")),
            (None, _) => {}
            (Some(_), None) => {
                return Err(err::validation("The current password is missing").with_hint("send it as \"current\""));
            }
            (Some(stored), Some(current)) => {
                self.pace.attempt(&change.by.username, change.address)?;
                let typed = password::normal(current.expose_secret());
                let verdict = self.passwords.verify(&SecretString::from(typed.as_str()), Some(stored)).await?;
                if verdict == Verdict::Wrong {
                    return Err(err::forbidden("The current password is wrong"));
                }
                self.pace.right(&change.by.username, change.address);
            }
        }
        let next = password::check(change.next.expose_secret(), &change.by.username)?;
        let (hash, now) = (self.passwords.hash(&next).await?, self.ledger.now());
        let by = change.by;
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let account = account_of(tx, by.account).await?;
                    passwords::set(tx, account.id, &hash, now).await?;
                    let ended = sign_ins::end_all(tx, account.id, by.session, now).await?;
                    let entry = entry(&account, "password_changed").with("sessions_ended", ended);
                    tx.audit(entry.warrant(&by)).await?;
                    Ok(ended)
                })
            })
            .await
    }

    /// Writes when sessions were last seen.
    pub(super) async fn flush_sessions(&self) {
        for rows in self.used_sessions.take().chunks(FLUSH_ROWS) {
            let batch = rows.to_vec();
            let done = self.store.upkeep(move |tx| Box::pin(async move { sign_ins::touch_seen(tx, &batch).await }));
            if let Err(error) = done.await {
                tracing::warn!(%error, "times of last use were not written; they will be tried again");
                self.used_sessions.give_back(rows.iter().map(|(id, _)| *id));
            }
        }
    }

    /// Deletes sessions and logins that were over a day ago, and answers that were kept for a day.
    pub(super) async fn prune_people(&self) {
        let before = self.ledger.now() - TimeDelta::days(1);
        self.used_sessions.forget_before(before - TimeDelta::minutes(self.people.session_idle_minutes.into()));
        let done = self.store.upkeep(move |tx| {
            Box::pin(async move {
                sign_ins::prune(tx, before).await?;
                login_requests::prune(tx, before).await?;
                kept_answers::prune(tx, before).await
            })
        });
        if let Err(error) = done.await {
            tracing::warn!(%error, "old sessions were not deleted; it is tried again");
        }
    }
}

async fn account_of(tx: &Tx, id: AccountId) -> Result<AccountRecord> {
    accounts::get(tx.conn(), id).await?.ok_or_else(|| err::not_found("No such account"))
}

/// Ends the oldest sessions of an account, so that one more fits.
async fn make_room(tx: &Tx, account: AccountId, most: usize, now: Timestamp) -> Result<()> {
    let open = sign_ins::list(tx.conn(), account, now).await?;
    for session in open.iter().take((open.len() + 1).saturating_sub(most)) {
        sign_ins::end(tx, account, session.id, now).await?;
    }
    Ok(())
}
