//! `/join#code`: an invitation. Its code stands behind the `#`, which no browser sends: no server, log or Referer sees
//! it. A script puts it into the form (`code.js`), which asks what is behind it; without a script it is pasted. Looking
//! at an invitation uses nothing up (mail scanners look, too); joining does.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use crate::{
    actors::token_people::invite_over,
    admin::{
        Admin, auth,
        dto::{AcceptInvite, Joined},
        invites, sessions,
    },
    domain::{
        role::Principal,
        token::{self, Credential},
    },
    error::{Error, ErrorCode, Result},
    store::{accounts::AccountRecord, invites::InviteRecord},
    web::{csrf_token, page, problem, status_of, visitor},
};

#[derive(Template)]
#[template(path = "join_code.html")]
struct Asking {
    csrf: String,
}

#[derive(Template)]
#[template(path = "join.html")]
struct Invitation<'a> {
    code: &'a str,
    namespace: &'a str,
    role: &'a str,
    email: &'a str,
    workspace: Option<String>,
    signed_in: Option<&'a str>,
    csrf: String,
    username: &'a str,
    problem: &'a str,
}

#[derive(Template)]
#[template(path = "joined.html")]
struct Done<'a> {
    joined: &'a Joined,
    mcp_json: String,
    url: &'a str,
}

/// The forms: looking brings the code, joining what a newcomer chose as well.
#[derive(Deserialize)]
pub struct Form {
    r#do: Do,
    code: String,
    username: Option<String>,
    password: Option<String>,
    csrf: Option<String>,
}

/// What is to be done.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Do {
    /// Show the invitation.
    Look,
    /// Accept it.
    Join,
}

/// The code of what was pasted: it, or a whole link.
fn code_of(pasted: &str) -> &str {
    pasted.trim().rsplit('#').next().unwrap_or_default()
}

/// The invitation of a code.
async fn find(admin: &Admin, request: &HttpRequest, code: &str) -> Result<(InviteRecord, AccountRecord)> {
    let client = auth::address(admin, request);
    let found = match token::parse(Credential::Inv, code) {
        Some(hash) => admin.actors.tokens.look_at_invite(hash, client).await?,
        None => {
            admin.actors.tokens.count_open(client)?;
            None
        }
    };
    found.ok_or_else(|| {
        auth::note_stranger(admin, request, "invite_refused");
        invite_over()
    })
}

fn form(
    (admin, request): (&Admin, &HttpRequest),
    (invite, namespace): &(InviteRecord, AccountRecord),
    code: &str,
    who: Option<&Principal>,
    refused: Option<(&Error, &str)>,
) -> HttpResponse {
    let slug = |id| admin.actors.catalog.load().workspace_by_id(id).map(|view| view.slug.to_string());
    let shown = Invitation {
        code,
        namespace: &namespace.username,
        role: invite.role.as_str(),
        email: &invite.email,
        workspace: invite.workspace.and_then(slug),
        signed_in: who.map(|who| &*who.username),
        csrf: csrf_token(admin, request),
        username: refused.map_or("", |(_, username)| username),
        problem: refused.map_or("", |(error, _)| error.message()),
    };
    page(refused.map_or(StatusCode::OK, |(error, _)| status_of(error)), &shown)
}

/// Asks for the code.
pub async fn show(admin: web::Data<Admin>, request: HttpRequest) -> HttpResponse {
    page(StatusCode::OK, &Asking { csrf: csrf_token(&admin, &request) })
}

/// Shows the invitation, or accepts it.
pub async fn submit(admin: web::Data<Admin>, request: HttpRequest, sent: web::Form<Form>) -> HttpResponse {
    let sent = sent.into_inner();
    let code = code_of(&sent.code);
    let looked = async {
        admin.cookies.require_own_page(&request)?;
        let found = find(&admin, &request, code).await?;
        Ok::<_, Error>((found, visitor(&admin, &request, sent.csrf.as_deref()).await?))
    };
    let (found, who) = match looked.await {
        Ok(looked) => looked,
        Err(error) => return problem(&error),
    };
    if sent.r#do == Do::Look {
        return form((&admin, &request), &found, code, who.as_ref(), None);
    }
    let typed = sent.username.clone().unwrap_or_default();
    let input = match &who {
        Some(_) => AcceptInvite::default(),
        None => AcceptInvite { username: sent.username, password: sent.password, api_key_name: None },
    };
    let client = auth::address(&admin, &request);
    match invites::accept(&admin.actors, who.clone(), code, input, client).await {
        Ok((joined, account)) => done(&admin, &request, &joined, account, who.is_none()).await,
        Err(error) if error.code() == ErrorCode::Gone => problem(&error),
        Err(error) => form((&admin, &request), &found, code, who.as_ref(), Some((&error, &typed))),
    }
}

async fn done(
    admin: &Admin,
    request: &HttpRequest,
    joined: &Joined,
    account: AccountRecord,
    newcomer: bool,
) -> HttpResponse {
    let mcp_json = joined.token.as_ref().map(|token| serde_json::to_string_pretty(&token.mcp_json).unwrap_or_default());
    let url = admin.actors.public_url.as_str().trim_end_matches('/');
    let mut answer = page(StatusCode::CREATED, &Done { joined, mcp_json: mcp_json.unwrap_or_default(), url });
    if !newcomer || admin.cookies.require_usable().is_err() {
        return answer;
    }
    // Who has just chosen a password does not have to type it again. Without a session, everything is done all the same.
    match admin.actors.tokens.begin_session(account, sessions::place(admin, request)).await {
        Ok(begun) => {
            if let Err(cause) = answer.add_cookie(&admin.cookies.begin(begun.raw.expose_secret())) {
                tracing::warn!(%cause, "a cookie could not be set");
            }
        }
        Err(error) => tracing::warn!(%error, "somebody who joined has to sign in by hand"),
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_taken_from_a_pasted_link_too() {
        for pasted in ["inv_abc", " inv_abc\n", "https://mcp.example.com/join#inv_abc", "#inv_abc"] {
            assert_eq!(code_of(pasted), "inv_abc", "{pasted}");
        }
        assert_eq!(code_of(""), "");
    }
}
