//! The first start: an owner, their namespace, one API key, shown once and saved as the local CLI profile. Until the owner
//! has a password, each start makes a link that opens the dashboard once.

use std::os::unix::fs::DirBuilderExt as _;

use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    actors::{Actors, token_authority::IssueApiKey},
    cli::profile,
    domain::{clock, ids::AccountId, plan::Plan, role::Principal, role::Role, slug::Slug},
    error::{Error, Result, err},
    store::{
        accounts::{self, AccountRecord},
        audit::AuditEntry,
    },
    upstream::stdio::folder,
};

/// What the start made for the owner.
pub struct FirstStart {
    /// The key, if it was made now.
    pub key: Option<SecretString>,
    /// Where the CLI profile was written.
    pub profile: Option<std::path::PathBuf>,
    /// What the link holds that opens the dashboard, while the owner has no password.
    pub welcome: Option<SecretString>,
}

/// Makes the owner if nobody is there yet. The profile is written before anything is ready, so that every command works
/// at once on this machine.
pub async fn ensure_owner(actors: &Actors, demo: bool) -> Result<FirstStart> {
    let known = actors.store.read(|db| async move { accounts::first(&db).await }).await?;
    if let Some(owner) = known {
        actors.audit.set_owner(owner.id);
        let welcome = actors.tokens.offer_welcome(owner.id).await?;
        return Ok(FirstStart { key: None, profile: None, welcome });
    }
    let owner = make_owner(actors).await?;
    actors.audit.set_owner(owner.id);
    let welcome = actors.tokens.offer_welcome(owner.id).await?;
    let by = Principal::system(owner.id);
    let issued = actors
        .tokens
        .issue_api_key(IssueApiKey {
            account: owner.id,
            namespace: owner.id,
            bound: false,
            name: "first start".into(),
            expires_in_seconds: None,
            max_role: None,
            by,
        })
        .await?;
    let name = if demo { "demo" } else { "local" };
    let profile = match profile::write_local(local_url(actors).as_str(), &issued.raw, name) {
        Ok(path) => Some(path),
        Err(error) => {
            tracing::warn!(%error, "sign in with `aerostack login`");
            None
        }
    };
    Ok(FirstStart { key: Some(issued.raw), profile, welcome })
}

/// Makes the folder for definitions of programs, which only this user may write to.
pub fn ensure_folder(actors: &Actors) -> Result<()> {
    let folder = folder::path(&actors.upstreams.host().data_dir);
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.map_err(|cause| Error::internal("making the folder servers.d", cause))
}

/// The address for commands on this machine.
pub fn local_url(actors: &Actors) -> String {
    let bind = actors.config.server.bind;
    if bind.ip().is_unspecified() || !bind.ip().is_loopback() {
        return actors.public_url.as_str().trim_end_matches('/').to_owned();
    }
    let scheme = if actors.config.server.tls_cert.is_empty() { "http" } else { "https" };
    format!("{scheme}://{bind}")
}

async fn make_owner(actors: &Actors) -> Result<AccountRecord> {
    let namespace = &actors.config.server.namespace;
    // "admin" is no slug for URLs, but it is the owner's name unless another is chosen.
    if namespace != "admin" {
        Slug::parse(namespace).map_err(|error| err::validation(format!("server.namespace: {}", error.message())))?;
    }
    let username = namespace.clone();
    let record = AccountRecord {
        id: AccountId::generate(),
        username,
        email: None,
        plan: Plan::default().as_str().to_owned(),
        created_at: clock::now(),
    };
    let owner = record.clone();
    actors
        .store
        .write(move |tx| {
            Box::pin(async move {
                accounts::create(tx, &record).await?;
                accounts::put_member(tx, record.id, record.id, Role::Owner, None).await?;
                let by = Principal::system(record.id);
                tx.audit(AuditEntry::new(&by, "account_created", ("account", &record.username))).await
            })
        })
        .await?;
    Ok(owner)
}

/// The key as text, for the one time it is shown.
pub fn reveal(key: &SecretString) -> &str {
    key.expose_secret()
}
