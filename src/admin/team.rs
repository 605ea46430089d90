//! The team of a namespace: who is in, who is invited, and with which role.

use actix_web::{
    HttpResponse,
    web::{self, Path},
};

use crate::{
    actors::{Actors, token_people::ChangeRole},
    admin::{
        Admin,
        auth::Caller,
        dto::{MemberStatus, Page, TeamMember, TeamPage, UpdateMember},
        openapi::Problems,
        reply::Reply,
        request::{IfMatch, Json, Nothing, Paging, Query, page},
        whoami,
    },
    domain::{
        clock, near,
        role::{Principal, Role},
    },
    error::{ErrorCode, Result, err},
    store::{
        accounts::{self, AccountRecord, MemberRecord},
        invites::{self, InviteRecord},
    },
};

/// A member, as lists show them.
pub fn member_dto(member: &MemberRecord, namespace: &AccountRecord) -> TeamMember {
    TeamMember {
        member: accounts::label(&member.account, namespace),
        username: Some(member.account.username.clone()),
        email: member.account.email.clone(),
        role: member.role.as_str().into(),
        status: MemberStatus::Active,
        joined_at: Some(member.created_at),
        invited_at: None,
        invite: None,
        workspace: None,
        expires_at: None,
    }
}

fn invite_dto(actors: &Actors, invite: &InviteRecord) -> TeamMember {
    let slug = |id| actors.catalog.load().workspace_by_id(id).map(|view| view.slug.to_string());
    TeamMember {
        member: invite.email.clone(),
        username: None,
        email: Some(invite.email.clone()),
        role: invite.role.as_str().into(),
        status: MemberStatus::Pending,
        joined_at: None,
        invited_at: Some(invite.created_at),
        invite: Some(invite.id.to_string()),
        workspace: invite.workspace.and_then(slug),
        expires_at: Some(invite.expires_at),
    }
}

/// Members, longest first, then open invitations. Who may invite sees the invitations, everybody in the team its members.
pub async fn list(actors: &Actors, by: &Principal, paging: &Paging) -> Result<TeamPage> {
    by.require(Role::Viewer)?;
    let namespace = whoami::namespace(actors, by).await?;
    let (id, now, all) = (by.namespace, clock::now(), by.role >= Role::Admin);
    let (members, invites) = actors
        .store
        .read(move |db| async move {
            let invites = if all { invites::list_open(&db, id, now).await? } else { Vec::new() };
            Ok((accounts::members(&db, id).await?, invites))
        })
        .await?;
    let members = members.iter().map(|member| member_dto(member, &namespace));
    let rows: Vec<TeamMember> = members.chain(invites.iter().map(|invite| invite_dto(actors, invite))).collect();
    let Page { data, next_cursor } = page(rows, paging, |row| {
        let (part, at) = match row.status {
            MemberStatus::Active => ("0", row.joined_at),
            MemberStatus::Pending => ("1", row.invited_at),
        };
        format!("{part}{:020}{}", at.map_or(0, |at| at.timestamp_micros()), row.member)
    })?;
    Ok(TeamPage { namespace: namespace.username, data, next_cursor })
}

/// A member by user name or e-mail address.
pub async fn find(actors: &Actors, by: &Principal, name: &str) -> Result<MemberRecord> {
    let (id, wanted) = (by.namespace, name.trim_start_matches('@').to_lowercase());
    let members = actors.store.read(move |db| async move { accounts::members(&db, id).await }).await?;
    let is = |member: &&MemberRecord| {
        member.account.username == wanted || member.account.email.as_ref().is_some_and(|email| *email == wanted)
    };
    if let Some(found) = members.iter().find(is) {
        return Ok(found.clone());
    }
    let known = members.iter().map(|member| member.account.email.as_deref().unwrap_or(&member.account.username));
    Err(err::not_found(near::no_such("member", name, known)).with_hint("aerostack team list"))
}

/// A member, or an open invitation by its address.
pub async fn get(actors: &Actors, by: &Principal, name: &str) -> Result<TeamMember> {
    Ok(named(actors, by, name).await?.1)
}

/// The same with what the change log calls it.
async fn named(actors: &Actors, by: &Principal, name: &str) -> Result<((&'static str, String), TeamMember)> {
    by.require(Role::Viewer)?;
    match find(actors, by, name).await {
        Ok(member) => {
            let shown = member_dto(&member, &whoami::namespace(actors, by).await?);
            Ok((("member", member.account.id.to_string()), shown))
        }
        Err(unknown) if unknown.code() == ErrorCode::NotFound && by.role >= Role::Admin => {
            let invite = open_invite(actors, by, name).await?.ok_or(unknown)?;
            Ok((("invite", invite.id.to_string()), invite_dto(actors, &invite)))
        }
        Err(error) => Err(error),
    }
}

/// The open invitation of an e-mail address.
pub async fn open_invite(actors: &Actors, by: &Principal, email: &str) -> Result<Option<InviteRecord>> {
    let (id, now, email) = (by.namespace, clock::now(), email.to_lowercase());
    let open = actors.store.read(move |db| async move { invites::list_open(&db, id, now).await }).await?;
    Ok(open.into_iter().find(|invite| invite.email == email))
}

/// Who acts, held to what they have seen of a member.
pub async fn held(actors: &Actors, by: &Principal, name: &str, seen: &IfMatch) -> Result<Principal> {
    let thing = async { Ok(named(actors, by, name).await?.0) };
    seen.hold(actors, by, thing, get(actors, by, name)).await
}

/// Gives a member another role.
pub async fn update(actors: &Actors, by: &Principal, name: &str, input: UpdateMember) -> Result<TeamMember> {
    let role: Role = input.role.parse()?;
    by.may_give(role)?;
    let member = find(actors, by, name).await?;
    let change = ChangeRole { account: member.account.id, role, by: by.clone() };
    let changed = actors.tokens.change_role(change).await?;
    Ok(member_dto(&changed, &whoami::namespace(actors, by).await?))
}

/// List members and open invitations
#[utoipa::path(get, path = "/api/v1/admin/team/members", tag = "team", params(Paging),
    responses((status = 200, body = TeamPage), Problems))]
pub async fn list_route(admin: web::Data<Admin>, by: Caller, paging: Query<Paging>) -> Reply {
    Ok(HttpResponse::Ok().json(list(&admin.actors, &by.0, &paging.0).await?))
}

/// Show a member, or an open invitation
#[utoipa::path(get, path = "/api/v1/admin/team/members/{member}", tag = "team",
    params(("member" = String, Path, description = "User name or e-mail address")),
    responses((status = 200, body = TeamMember), Problems))]
pub async fn get_route(admin: web::Data<Admin>, by: Caller, member: Path<String>, _: Query<Nothing>) -> Reply {
    Ok(HttpResponse::Ok().json(get(&admin.actors, &by.0, &member).await?))
}

/// Give a member another role
#[utoipa::path(patch, path = "/api/v1/admin/team/members/{member}", tag = "team",
    params(("member" = String, Path, description = "User name or e-mail address"), IfMatch), request_body = UpdateMember,
    responses((status = 200, body = TeamMember), Problems))]
pub async fn update_route(
    admin: web::Data<Admin>,
    by: Caller,
    member: Path<String>,
    _: Query<Nothing>,
    seen: IfMatch,
    body: Json<UpdateMember>,
) -> Reply {
    let by = held(&admin.actors, &by.0, &member, &seen).await?;
    Ok(HttpResponse::Ok().json(update(&admin.actors, &by, &member, body.0).await?))
}
