//! Invitations: made and mailed, sent again, taken back, accepted. A link is shown only when no mail carries it, and a
//! mail counts as sent only when the mail server has accepted it.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Path},
};
use askama::Template;
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    actors::{
        Actors,
        token_people::{
            AcceptInvite as Accept, InviteMember as Invite, IssuedInvite, Joining, NameInvite, invite_over,
        },
    },
    admin::{
        Admin, auth,
        auth::{Caller, MaybeCaller},
        dto::{AcceptInvite, InviteCreated, InviteMember, InviteRevoked, Joined, MailState},
        openapi::Problems,
        reply::Reply,
        request::{Json, Nothing, Query},
        tokens, whoami, workspaces,
    },
    domain::{
        email,
        ids::InviteId,
        role::{Principal, Role},
        token::{self, Credential},
    },
    error::{Error, ErrorCode, Result, err},
};

/// The mail that invites.
#[derive(Template)]
#[template(path = "invite.txt")]
struct InviteMail<'a> {
    by: &'a str,
    namespace: &'a str,
    role: &'a str,
    workspace: Option<&'a str>,
    link: &'a str,
    until: String,
}

/// Invites somebody and mails the link, if there is a mail server.
pub async fn create(actors: &Actors, by: &Principal, input: InviteMember) -> Result<InviteCreated> {
    let role = input.role.as_deref().map_or(Ok(Role::Member), str::parse)?;
    by.may_give(role)?;
    let email = email::parse(&input.email)?;
    let workspace = match &input.workspace {
        Some(slug) => Some(workspaces::find(actors, by, slug).await?.id),
        None => None,
    };
    let issued = actors.tokens.invite(Invite { email, role, workspace, by: by.clone() }).await?;
    deliver(actors, by, issued, input.workspace).await
}

/// Makes a new link for an open invitation and mails it. The old link is void.
pub async fn resend(actors: &Actors, by: &Principal, id: &str) -> Result<InviteCreated> {
    by.require(Role::Admin)?;
    let invite = id.parse::<InviteId>().map_err(|_not_one| unknown())?;
    let issued = actors.tokens.renew_invite(NameInvite { invite, by: by.clone() }).await?;
    let slug = |id| actors.catalog.load().workspace_by_id(id).map(|view| view.slug.to_string());
    let workspace = issued.record.workspace.and_then(slug);
    deliver(actors, by, issued, workspace).await
}

fn unknown() -> Error {
    err::not_found("No such open invitation").with_hint("aerostack team list")
}

async fn deliver(
    actors: &Actors,
    by: &Principal,
    issued: IssuedInvite,
    workspace: Option<String>,
) -> Result<InviteCreated> {
    let namespace = whoami::namespace(actors, by).await?.username;
    let record = issued.record;
    // Behind the #, where no server, log or Referer sees it (S-66).
    let link = format!("{}/join#{}", actors.public_url.as_str().trim_end_matches('/'), issued.raw.expose_secret());
    let (mail, mail_error) = if actors.mail.is_configured() {
        let text = InviteMail {
            by: &by.label,
            namespace: &namespace,
            role: record.role.as_str(),
            workspace: workspace.as_deref(),
            link: &link,
            until: record.expires_at.format("%Y-%m-%d %H:%M UTC").to_string(),
        };
        let text = text.render().map_err(|cause| Error::internal("writing an invitation", cause))?;
        let subject = format!("{} invites you to @{namespace}", by.label);
        match actors.mail.send(&record.email, &subject, text).await {
            Ok(()) => (MailState::Sent, None),
            Err(error) => (MailState::Failed, Some(error.message().to_owned())),
        }
    } else {
        (MailState::NotConfigured, None)
    };
    Ok(InviteCreated {
        id: record.id.to_string(),
        email: record.email,
        role: record.role.as_str().into(),
        namespace,
        workspace,
        expires_at: record.expires_at,
        link: (mail != MailState::Sent).then_some(link),
        mail,
        mail_error,
    })
}

/// Takes an open invitation back.
pub async fn revoke(actors: &Actors, by: &Principal, id: &str) -> Result<InviteRevoked> {
    by.require(Role::Admin)?;
    let invite = id.parse::<InviteId>().map_err(|_not_one| unknown())?;
    let gone = actors.tokens.revoke_invite(NameInvite { invite, by: by.clone() }).await?;
    Ok(InviteRevoked { id: gone.id.to_string(), email: gone.email })
}

/// Accepts an invitation, as the account that acts or as a new one. Returns the account, too, for whoever signs it in.
pub async fn accept(
    actors: &Actors,
    who: Option<Principal>,
    code: &str,
    input: AcceptInvite,
    client: std::net::IpAddr,
) -> Result<(Joined, crate::store::accounts::AccountRecord)> {
    let Some(hash) = token::parse(Credential::Inv, code) else {
        actors.tokens.count_open(client)?;
        return Err(invite_over());
    };
    let who = match (who, input.username, input.password) {
        (Some(known), None, None) => Joining::Known(known),
        (Some(_), _, _) => {
            return Err(err::validation("You have an account already: leave username and password out"));
        }
        (None, Some(username), Some(password)) => Joining::New { username, password: SecretString::from(password) },
        (None, _, _) => {
            return Err(err::validation("A new account needs a username and a password")
                .with_hint("or sign in, or send the API key of your account"));
        }
    };
    let joined = actors.tokens.accept_invite(Accept { hash, who, key_name: input.api_key_name }, client).await?;
    let (workspace, token) = match joined.token {
        Some((workspace, issued)) => {
            (Some(workspace.slug.to_string()), Some(tokens::created(actors, &workspace.slug, issued)))
        }
        None => (None, None),
    };
    let shown = Joined {
        username: joined.account.username.clone(),
        created: joined.created,
        namespace: joined.namespace.username,
        role: joined.role.as_str().into(),
        workspace,
        token,
        api_key: joined.key.map(|key| key.raw.expose_secret().to_owned()),
    };
    Ok((shown, joined.account))
}

/// Invite somebody
#[utoipa::path(post, path = "/api/v1/admin/team/invites", tag = "team", request_body = InviteMember,
    responses((status = 201, body = InviteCreated), Problems))]
pub async fn create_route(admin: web::Data<Admin>, by: Caller, _: Query<Nothing>, body: Json<InviteMember>) -> Reply {
    Ok(HttpResponse::Created().json(create(&admin.actors, &by.0, body.0).await?))
}

/// Make a new link for an open invitation and send it; the old one is void
#[utoipa::path(post, path = "/api/v1/admin/team/invites/{id}/resend", tag = "team", params(("id" = String, Path)),
    responses((status = 201, body = InviteCreated), Problems))]
pub async fn resend_route(admin: web::Data<Admin>, by: Caller, id: Path<String>, _: Query<Nothing>) -> Reply {
    Ok(HttpResponse::Created().json(resend(&admin.actors, &by.0, &id).await?))
}

/// Take an open invitation back
#[utoipa::path(delete, path = "/api/v1/admin/team/invites/{id}", tag = "team", params(("id" = String, Path)),
    responses((status = 200, body = InviteRevoked), Problems))]
pub async fn revoke_route(admin: web::Data<Admin>, by: Caller, id: Path<String>, _: Query<Nothing>) -> Reply {
    Ok(HttpResponse::Ok().json(revoke(&admin.actors, &by.0, &id).await?))
}

/// Accept an invitation, with an account or for a new one
#[utoipa::path(post, path = "/api/v1/admin/team/invites/{code}/accept", tag = "team", params(("code" = String, Path)),
    request_body = AcceptInvite, security((), ("api_key" = []), ("session" = [])),
    responses((status = 201, description = "Token and key are in this one answer", body = Joined), Problems))]
pub async fn accept_route(
    admin: web::Data<Admin>,
    request: HttpRequest,
    who: MaybeCaller,
    code: Path<String>,
    _: Query<Nothing>,
    body: Json<AcceptInvite>,
) -> Reply {
    let client = auth::address(&admin, &request);
    match accept(&admin.actors, who.0, &code, body.0, client).await {
        Ok((joined, _)) => Ok(HttpResponse::Created().json(joined)),
        Err(error) => {
            if matches!(error.code(), ErrorCode::Gone | ErrorCode::RateLimited) {
                auth::note_stranger(&admin, &request, "invite_refused");
            }
            Err(error.into())
        }
    }
}
