//! Another value for a token, another life for one whose time is over, and tokens whose time is nearly over.
//!
//! A rotated token keeps its id, and with it its name, scope, window and sessions. The value before works until the
//! overlap ends; ending it is a withdrawal like any other, so nothing is accepted or written for it afterwards. At most
//! two values work at a time: a second rotation ends the first one's overlap.

use std::{collections::HashSet, sync::atomic::Ordering::Relaxed};

use chrono::TimeDelta;

use crate::{
    actors::{
        authority::{Authority, IssuedToken, entry, may_begin, workspace_of},
        token_rules,
    },
    domain::{
        clock::Timestamp,
        ids::{TokenId, WorkspaceId},
        role::Principal,
        token::{self, Credential, TokenHash},
    },
    error::{ErrorCode, Result, err},
    store::{
        Tx,
        tokens::{self, NewValue, TokenRecord},
    },
};

/// Tokens that are looked at in one look for expiring ones; more are counted by the next one.
const EXPIRING: u64 = 1000;

/// A token that is to have another value.
#[derive(Debug, Clone)]
pub struct RotateToken {
    /// Its workspace (a token of another one is unknown).
    pub workspace: WorkspaceId,
    /// The token.
    pub token: TokenId,
    /// Seconds that the value it has now works on; 0: it is dead when the answer is given.
    pub overlap_seconds: u64,
    /// Who does it.
    pub by: Principal,
}

/// A token that the gateway keeps for somebody and that is to work again, whether its time is over or not.
#[derive(Debug, Clone)]
pub struct RenewToken {
    /// Its workspace (a token of another one is unknown).
    pub workspace: WorkspaceId,
    /// The token, one that was made to end.
    pub token: TokenId,
    /// Its life from now on.
    pub life_seconds: u64,
    /// Who does it.
    pub by: Principal,
}

impl Authority {
    /// Gives a token another value and another life under the rule of a new one; a value that still works is dead when
    /// this returns. What is known of its calls stays with it, and however often somebody comes back, there is one row.
    pub(super) async fn renew(&self, wanted: RenewToken) -> Result<IssuedToken> {
        self.until_settled().await;
        let (token, now) = (wanted.token, self.ledger.now());
        let until = token_rules::expiry(now, Some(wanted.life_seconds))?;
        let fresh = token::generate(Credential::Mwt);
        let value = NewValue { hash: fresh.hash, hint: fresh.hint, previous_until: None };
        let written =
            self.store.write(move |tx| Box::pin(async move { prolong(tx, &wanted, value, (now, until)).await })).await;
        // When the database does not say whether it committed, its next use finds out what it is by now.
        if !matches!(&written, Err(refused) if refused.code() == ErrorCode::NotFound) {
            self.end(self.ledger.withdraw([token])).await;
        }
        Ok(IssuedToken { record: written?, raw: fresh.raw })
    }

    /// Gives a token a new value; name, scope, limit and window stay. Without an overlap the old value is dead when this
    /// returns, its streams are cut; with one, only a value that an earlier rotation had kept is.
    pub(super) async fn rotate(&self, wanted: RotateToken) -> Result<IssuedToken> {
        self.until_settled().await;
        let (token, now) = (wanted.token, self.ledger.now());
        let previous_until = token_rules::overlap(now, wanted.overlap_seconds)?;
        let fresh = token::generate(Credential::Mwt);
        let value = NewValue { hash: fresh.hash, hint: fresh.hint, previous_until };
        let written = self.store.write(move |tx| Box::pin(async move { replace(tx, &wanted, value, now).await })).await;
        let gone = match &written {
            Ok((old, record)) => match record.previous_until {
                Some(until) => self.ledger.supersede(token, old, until),
                None => self.ledger.withdraw([token]),
            },
            Err(refused) if refused.code() == ErrorCode::NotFound => Vec::new(),
            // Perhaps it was committed: whatever the token is by now, its next use asks the database.
            Err(_) => self.ledger.withdraw([token]),
        };
        self.end(gone).await;
        let (_, record) = written?;
        Ok(IssuedToken { record, raw: fresh.raw })
    }

    /// Logs, once each, the tokens whose time is over in `expiry_warning`, and counts them for the metrics.
    pub(super) async fn warn_of_expiry(&self) {
        let (from, until) = (self.ledger.now(), self.ledger.now() + self.expiry_warning);
        let found = self.store.read(move |db| async move { tokens::expiring(&db, from, until, EXPIRING).await }).await;
        let found = match found {
            Ok(found) => found,
            Err(error) => return tracing::warn!(%error, "tokens that expire soon were not looked for"),
        };
        self.expiring.store(found.len() as u64, Relaxed);
        let mut warned = self.warned.lock();
        for (record, slug) in &found {
            if !warned.contains(&record.id) {
                let expires_at = record.expires_at.unwrap_or_default().to_rfc3339();
                tracing::warn!(token = %record.id, workspace = slug, expires_at, "a token expires soon: rotate or replace it");
            }
        }
        *warned = found.iter().map(|(record, _)| record.id).collect::<HashSet<_>>();
    }
}

async fn replace(tx: &Tx, wanted: &RotateToken, value: NewValue, now: Timestamp) -> Result<(TokenHash, TokenRecord)> {
    let workspace = workspace_of(tx, wanted.workspace).await?;
    let told_by = tokens::told_by(&value.hash.0);
    let replaced = tokens::replace_value(tx, workspace.id, wanted.token, value, now).await?;
    let (old, record) = replaced.ok_or_else(|| {
        err::not_found("No such active token in this workspace")
            .with_hint("A revoked or expired token cannot come back: create a new one")
    })?;
    let mut said = entry(&workspace, &wanted.by, "token_rotated", &record).with("hash", told_by);
    if let Some(until) = record.previous_until {
        said = said.with("previous_until", until.to_rfc3339());
    }
    tx.audit(said).await?;
    tx.change("token", wanted.token).await?;
    Ok((old, record))
}

async fn prolong(
    tx: &Tx,
    wanted: &RenewToken,
    value: NewValue,
    (now, until): (Timestamp, Option<Timestamp>),
) -> Result<TokenRecord> {
    let known = tokens::get(tx.conn(), wanted.workspace, wanted.token).await?;
    let lasting = |record: &TokenRecord| record.revoked_at.is_none() && record.expires_at.is_some();
    let unknown = || err::not_found("No such token in this workspace that could work again");
    let known = known.filter(lasting).ok_or_else(unknown)?;
    let workspace = may_begin(tx, &known, now).await?;
    let told_by = tokens::told_by(&value.hash.0);
    let record = tokens::renew(tx, workspace.id, wanted.token, value, until).await?.ok_or_else(unknown)?;
    let mut said = entry(&workspace, &wanted.by, "token_rotated", &record).with("hash", told_by);
    if let Some(until) = record.expires_at {
        said = said.with("expires_at", until.to_rfc3339());
    }
    tx.audit(said).await?;
    tx.change("token", wanted.token).await?;
    Ok(record)
}

/// How long before its end a token counts as one that expires soon.
pub(super) fn expiry_warning(days: u32) -> TimeDelta {
    TimeDelta::days(i64::from(days))
}
