//! The link that opens the dashboard for the first time. The owner that the first start makes has no password; whoever
//! sees the start of the process may open a page once, within an hour, and choose one. What the link holds is kept as a
//! hash, in this process only: the next start of a gateway whose owner still has none makes another link.

use chrono::TimeDelta;
use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    actors::{
        authority::Authority,
        authority_sessions::{SignedIn, Where},
    },
    domain::{
        clock::Timestamp,
        ids::AccountId,
        password,
        token::{self, Credential, TokenHash},
    },
    error::{Error, Result, err},
    store::{
        accounts::{self, AccountRecord},
        passwords,
    },
};

/// How long a link works.
const LIFE: TimeDelta = TimeDelta::hours(1);

/// The one link there may be.
#[derive(Default)]
pub(super) struct Welcome(Mutex<Option<Offered>>);

#[derive(Clone, Copy)]
struct Offered {
    hash: TokenHash,
    account: AccountId,
    until: Timestamp,
}

/// Somebody who opened the link and chose a password.
#[derive(Debug, Clone)]
pub struct Welcomed {
    /// Hash of what the link holds.
    pub hash: TokenHash,
    /// The password, as it was typed.
    pub password: SecretString,
    /// Where.
    pub at: Where,
}

/// Every link that opens nothing looks the same.
pub fn welcome_over() -> Error {
    err::gone("This link was used, its hour is over, or the gateway was started again since")
        .with_hint("start the gateway again for another one, or set a password with: aerostack account password")
}

impl Authority {
    /// Makes the link of an account that has no password, in place of an earlier one. `None`: it has one.
    pub(super) async fn offer_welcome(&self, account: AccountId) -> Result<Option<SecretString>> {
        if self.store.read(move |db| async move { passwords::get(&db, account).await }).await?.is_some() {
            return Ok(None);
        }
        let fresh = token::generate(Credential::Rec);
        let offered = Offered { hash: fresh.hash, account, until: self.ledger.now() + LIFE };
        *self.welcome.0.lock() = Some(offered);
        Ok(Some(fresh.raw))
    }

    /// Whose link this is, if it opens anything now. Looking uses nothing up.
    ///
    /// # Errors
    /// `gone` for every link that opens nothing.
    pub(super) async fn look_at_welcome(&self, hash: TokenHash) -> Result<AccountRecord> {
        let offered = *self.welcome.0.lock();
        let offered = offered.filter(|one| one.hash == hash && self.ledger.now() < one.until);
        let account = offered.ok_or_else(welcome_over)?.account;
        let found = self
            .store
            .read(
                move |db| async move { Ok((accounts::get(&db, account).await?, passwords::get(&db, account).await?)) },
            )
            .await?;
        match found {
            (Some(account), None) => Ok(account),
            // A password was set meanwhile, by the command line.
            _ => Err(welcome_over()),
        }
    }

    /// Uses the link: sets the password and begins a session. Of two who come at the same moment one is let in.
    pub(super) async fn welcome(&self, wanted: Welcomed) -> Result<SignedIn> {
        let account = self.look_at_welcome(wanted.hash).await?;
        let chosen = password::check(wanted.password.expose_secret(), &account.username)?;
        let password = self.passwords.hash(&chosen).await?;
        let taken = self.welcome.0.lock().take_if(|one| one.hash == wanted.hash);
        let taken = taken.ok_or_else(welcome_over)?;
        let begun = self.begin_session(account, wanted.at, Some(password)).await;
        if begun.is_err() {
            // Nothing was written: the link still works, unless the next start made another one.
            self.welcome.0.lock().get_or_insert(taken);
        }
        begun
    }
}
