//! Leaving a team, and the receipt: what somebody who left could reach, and which shared secrets their calls used as they
//! still are. The secrets' names only; values are never known here.

use std::{collections::BTreeMap, time::Duration};

use actix_web::{
    HttpResponse,
    web::{self, Path},
};
use chrono::TimeDelta;

use crate::{
    actors::{
        Actors,
        analytics_sink::Flush,
        catalog_sharing::Withhold,
        token_people::{Left, NameInvite, RemoveMember},
    },
    admin::{
        Admin,
        auth::Caller,
        dto::{LeavingReceipt, Reached, ToRotate},
        openapi::Problems,
        reply::Reply,
        request::{IfMatch, Nothing, Query},
        team, whoami,
    },
    domain::{
        clock::{self, Timestamp},
        ids::{AccountId, ServerId, TokenId, WorkspaceId},
        role::{Principal, Role},
        span::Span,
    },
    error::{Error, ErrorCode, Result},
    store::{
        accounts::{self, AccountRecord},
        invites::InviteRecord,
        secrets::{self, SecretRecord},
        servers, tokens,
        usage::{self, By, UsageFilter, Which},
        workspaces::{self, WorkspaceRecord},
    },
};

/// Longest wait until the last calls are written.
const WRITTEN: Duration = Duration::from_secs(5);

/// What a receipt says when something could not be done or found out.
const STILL_SHARED: &str = "Whether skills that only the team may use are off in workspaces of their own: that did not work at once; it is tried again every half minute, and at each start.";
const REACH_UNKNOWN: &str =
    "What they could reach, and which tokens they saw: take it that they could reach every workspace.";
const USE_UNKNOWN: &str =
    "Which secrets their calls used: take it that they used those of every server they could reach.";

/// Takes somebody out of the team; with an open invitation only, takes that back. Whoever acts may always leave.
pub async fn remove(actors: &Actors, by: &Principal, name: &str) -> Result<LeavingReceipt> {
    by.require(Role::Viewer)?;
    let member = match team::find(actors, by, name).await {
        Ok(member) => member,
        Err(unknown) if unknown.code() == ErrorCode::NotFound => return take_back(actors, by, name, unknown).await,
        Err(error) => return Err(error),
    };
    if member.account.id != by.account {
        by.may_give(member.role)?;
    }
    let namespace = whoami::namespace(actors, by).await?;
    let left = actors.tokens.remove_member(RemoveMember { account: member.account.id, by: by.clone() }).await?;
    // They are out, and are not found when this is asked again: what fails from here on is told in the receipt.
    let mut untold = Vec::new();
    // It is noted with the removal; whatever fails here, the catalogue does it.
    if let Err(error) = actors.catalog.apply(Withhold).await {
        tracing::error!(%error, "skills of a team may still be on in workspaces of somebody who left");
        untold.push(STILL_SHARED.to_owned());
    }
    Ok(receipt(actors, &namespace, left, untold).await)
}

async fn take_back(actors: &Actors, by: &Principal, name: &str, unknown: Error) -> Result<LeavingReceipt> {
    by.require(Role::Admin)?;
    let Some(invite) = team::open_invite(actors, by, name).await? else { return Err(unknown) };
    let namespace = whoami::namespace(actors, by).await?;
    let gone: InviteRecord = actors.tokens.revoke_invite(NameInvite { invite: invite.id, by: by.clone() }).await?;
    Ok(LeavingReceipt {
        member: gone.email,
        username: None,
        role: gone.role.as_str().into(),
        namespace: namespace.username,
        left_at: clock::now(),
        tokens_revoked: Vec::new(),
        keys_revoked: 0,
        sessions_ended: 0,
        invites_revoked: 1,
        could_reach: Vec::new(),
        rotate: Vec::new(),
        tokens_seen: Vec::new(),
        untold: Vec::new(),
    })
}

/// What is read of one workspace.
struct Seen {
    workspace: WorkspaceRecord,
    servers: Vec<ServerId>,
    /// Active tokens that somebody issued for others.
    issued: Vec<String>,
}

/// What is read of a namespace: its workspaces, and its servers' slugs.
type Team = (Vec<Seen>, BTreeMap<ServerId, String>);

async fn team_of(actors: &Actors, namespace: AccountId, left: &Left) -> Result<Team> {
    let (id, account, at) = (namespace, left.member.account.id, left.at);
    actors
        .store
        .read(move |db| async move {
            let mut seen = Vec::new();
            for workspace in workspaces::list(&db, id).await? {
                let servers = servers::installations(&db, workspace.id).await?;
                let active = tokens::list_active(&db, workspace.id, at).await?;
                let issued =
                    active.into_iter().filter(|token| token.created_by == account && token.member != Some(account));
                let issued = issued.map(|token| format!("{}/{}", workspace.slug, token.name)).collect();
                seen.push(Seen { servers: servers.into_iter().map(|one| one.server).collect(), issued, workspace });
            }
            let names: BTreeMap<ServerId, String> =
                servers::list(&db, id).await?.into_iter().map(|server| (server.id, server.slug.to_string())).collect();
            Ok((seen, names))
        })
        .await
}

/// The receipt, with what could be found out.
async fn receipt(actors: &Actors, namespace: &AccountRecord, left: Left, mut untold: Vec<String>) -> LeavingReceipt {
    let mut or_say = |error: &Error, what: &str| {
        tracing::error!(%error, what, "the receipt of somebody who left is not complete");
        untold.push(what.to_owned());
    };
    let (seen, names, rotate) = match team_of(actors, namespace.id, &left).await {
        Ok((seen, names)) => {
            let rotate = to_rotate(actors, &seen, &names, &left).await;
            (seen, names, rotate)
        }
        Err(error) => {
            or_say(&error, REACH_UNKNOWN);
            (Vec::new(), BTreeMap::new(), Err(error))
        }
    };
    let rotate = rotate.unwrap_or_else(|error| {
        or_say(&error, USE_UNKNOWN);
        Vec::new()
    });
    let slug_of = |id: WorkspaceId| {
        let known = seen.iter().find(|one| one.workspace.id == id);
        known.map_or_else(|| id.to_string(), |one| one.workspace.slug.to_string())
    };
    let revoked = left.tokens.iter().map(|token| format!("{}/{}", slug_of(token.workspace), token.name));
    // A viewer reaches what they have a token for; everybody else may have one for every workspace.
    let held: Vec<WorkspaceId> = left.tokens.iter().map(|token| token.workspace).collect();
    let reached = seen.iter().filter(|one| left.member.role > Role::Viewer || held.contains(&one.workspace.id));
    let server_names = |one: &Seen| one.servers.iter().filter_map(|id| names.get(id).cloned()).collect();
    LeavingReceipt {
        member: accounts::label(&left.member.account, namespace),
        username: Some(left.member.account.username.clone()),
        role: left.member.role.as_str().into(),
        namespace: namespace.username.clone(),
        left_at: left.at,
        tokens_revoked: revoked.collect(),
        keys_revoked: left.keys,
        sessions_ended: left.sessions,
        invites_revoked: left.invites,
        could_reach: reached
            .map(|one| Reached { workspace: one.workspace.slug.to_string(), servers: server_names(one) })
            .collect(),
        rotate,
        tokens_seen: seen.iter().flat_map(|one| one.issued.iter().cloned()).collect(),
        untold,
    }
}

/// Calls of one server, and the last of them.
type Used = (u64, Timestamp);

/// The secrets that calls with these tokens used, as they still are.
async fn to_rotate(
    actors: &Actors,
    seen: &[Seen],
    names: &BTreeMap<ServerId, String>,
    left: &Left,
) -> Result<Vec<ToRotate>> {
    if left.all_tokens.is_empty() {
        return Ok(Vec::new());
    }
    if !actors.analytics.sink().ask(Flush, WRITTEN).await.unwrap_or(false) {
        tracing::warn!("the last calls of somebody who left are not written yet; the receipt may lack them");
    }
    let mut found: BTreeMap<(String, String, Option<String>), Used> = BTreeMap::new();
    for one in seen {
        for (server, used) in calls(actors, one.workspace.id, left.all_tokens.clone(), left.at).await? {
            let Some(slug) = names.get(&server) else { continue };
            let secrets = actors.store.read(move |db| async move { secrets::of_server(&db, server).await }).await?;
            for secret in in_force(&secrets, one.workspace.id).filter(|secret| secret.updated_at <= used.1) {
                let only = secret.workspace.map(|_| one.workspace.slug.to_string());
                let sum = found.entry((slug.clone(), secret.name.clone(), only)).or_insert((0, used.1));
                *sum = (sum.0 + used.0, sum.1.max(used.1));
            }
        }
    }
    let row = |((server, secret, workspace), (calls, last_call_at))| ToRotate {
        server,
        secret,
        workspace,
        calls,
        last_call_at,
    };
    Ok(found.into_iter().map(row).collect())
}

async fn calls(
    actors: &Actors,
    workspace: WorkspaceId,
    tokens: Vec<TokenId>,
    at: Timestamp,
) -> Result<BTreeMap<ServerId, Used>> {
    let kept = TimeDelta::days(i64::from(actors.config.analytics.retention_days) + 1);
    let filter = UsageFilter {
        which: Which { tokens: Some(tokens), ..Which::in_workspace(workspace) },
        // Calls under way when they were cut are written a moment later.
        span: Span::holding(at - kept, at + TimeDelta::minutes(1), at),
    };
    let by = By { server: true, ..By::default() };
    let rows = actors.store.analytics(move |db| async move { usage::figures(&db, &filter, by).await }).await?;
    let mut used: BTreeMap<ServerId, Used> = BTreeMap::new();
    for (key, figures) in rows {
        let Some(last) = figures.last_call() else { continue };
        let sum = used.entry(key.server()).or_insert((0, last));
        *sum = (sum.0 + figures.calls, sum.1.max(last));
    }
    Ok(used)
}

/// The secrets of a server that a workspace uses: its own where it has one, else that of all workspaces.
fn in_force(secrets: &[SecretRecord], workspace: WorkspaceId) -> impl Iterator<Item = &SecretRecord> {
    secrets.iter().filter(move |secret| match secret.workspace {
        Some(only) => only == workspace,
        None => !secrets.iter().any(|other| other.name == secret.name && other.workspace == Some(workspace)),
    })
}

/// Take somebody out of the team, or an open invitation back
#[utoipa::path(delete, path = "/api/v1/admin/team/members/{member}", tag = "team",
    params(("member" = String, Path, description = "User name or e-mail address"), IfMatch),
    responses((status = 200, description = "What they could reach, and what to rotate", body = LeavingReceipt), Problems))]
pub async fn remove_route(
    admin: web::Data<Admin>,
    by: Caller,
    member: Path<String>,
    _: Query<Nothing>,
    seen: IfMatch,
) -> Reply {
    let by = team::held(&admin.actors, &by.0, &member, &seen).await?;
    Ok(HttpResponse::Ok().json(remove(&admin.actors, &by, &member).await?))
}
