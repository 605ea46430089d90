//! Workspace tokens: issue (the value is in that one answer and nowhere else), list, revoke.

use std::sync::atomic::Ordering::Relaxed;

use actix_web::{
    HttpResponse,
    http::header,
    web::{self, Path},
};
use secrecy::ExposeSecret as _;

use crate::{
    actors::{
        Actors,
        token_authority::{IssueToken, IssuedToken, NameToken, RotateToken as Rotate, ScopeToken},
    },
    admin::{
        Admin, BASE,
        auth::Caller,
        conventions::tagged,
        dto::{
            CreateToken, Page, RevokeByName, RotateToken, Seats, Snippet, Token, TokenCreated, TokenPage, TokenStatus,
            UpdateToken,
        },
        openapi::Problems,
        reply::Reply,
        request::{IfMatch, Json, Nothing, Paging, Query, page},
        whoami, workspaces,
    },
    domain::{
        clients::{self, Connection},
        clock::{self, Timestamp},
        ids::{TokenId, WorkspaceId},
        near,
        plan::Plan,
        role::{Principal, Role},
    },
    error::{ErrorCode, Result, err},
    store::{
        tokens::{self, TokenRecord},
        workspaces::WorkspaceRecord,
    },
    upstream::lists::Kinds,
};

/// How long the value before a rotation works on unless it is said: time to change a client's configuration.
const OVERLAP_SECONDS: u64 = 86_400;

fn dto(actors: &Actors, record: TokenRecord, now: Timestamp) -> Token {
    let status = match (&record.revoked_at, record.is_active(now)) {
        (Some(_), _) => TokenStatus::Revoked,
        (None, true) => TokenStatus::Active,
        (None, false) => TokenStatus::Expired,
    };
    Token {
        id: record.id.to_string(),
        active: status == TokenStatus::Active,
        status,
        name: record.name,
        hint: record.hint,
        created_at: record.created_at,
        expires_at: record.expires_at,
        last_used_at: record.last_used_at.max(actors.tokens.last_used(record.id)),
        expires_soon: status == TokenStatus::Active && actors.tokens.expires_soon(record.expires_at),
        revoked_at: record.revoked_at,
        previous_until: record.previous_until.filter(|until| status == TokenStatus::Active && now < *until),
        requests_per_minute: record.requests_per_minute,
        scope: record.scope,
    }
}

/// Who administers sees every token, a member the own ones. What somebody does not see is unknown to them.
fn sees(by: &Principal, record: &TokenRecord) -> bool {
    by.role >= Role::Admin || record.member == Some(by.account)
}

/// A token that the caller sees.
async fn seen(
    actors: &Actors,
    by: &Principal,
    workspace: &WorkspaceRecord,
    slug: &str,
    id: &str,
) -> Result<TokenRecord> {
    by.require(Role::Member)?;
    let place = workspace.id;
    let found = match id.parse::<TokenId>() {
        Ok(id) => actors.store.read(move |db| async move { tokens::get(&db, place, id).await }).await?,
        Err(_) => None,
    };
    found.filter(|record| sees(by, record)).ok_or_else(|| unknown_id(slug))
}

async fn all(actors: &Actors, workspace: &WorkspaceRecord) -> Result<Vec<TokenRecord>> {
    let id = workspace.id;
    let mut all = actors.store.read(move |db| async move { tokens::list(&db, id).await }).await?;
    all.sort_by_key(|record| record.id);
    Ok(all)
}

/// The tokens of a workspace, oldest first, and how many the plan allows.
pub async fn list(actors: &Actors, by: &Principal, slug: &str, paging: &Paging) -> Result<TokenPage> {
    by.require(Role::Member)?;
    let workspace = workspaces::find(actors, by, slug).await?;
    let plan = Plan::parse(&whoami::namespace(actors, by).await?.plan);
    let (records, now) = (all(actors, &workspace).await?, clock::now());
    let used = records.iter().filter(|record| record.is_active(now)).count();
    let shown = records.into_iter().filter(|record| sees(by, record)).collect();
    let Page { data, next_cursor } = page(shown, paging, |record: &TokenRecord| record.id.to_string())?;
    let data = data.into_iter().map(|record| dto(actors, record, now)).collect();
    Ok(TokenPage { data, next_cursor, seats: seats(plan, used) })
}

fn seats(plan: Plan, used: usize) -> Seats {
    Seats { plan: plan.as_str().into(), used: u64::try_from(used).unwrap_or(u64::MAX), limit: plan.tokens() }
}

/// The tokens of a workspace that the caller sees.
pub struct Seen {
    /// Newest first.
    pub tokens: Vec<Token>,
    /// How many there are, those that do not work any more included.
    pub ever: u64,
    /// How many the plan allows.
    pub seats: Seats,
}

/// All tokens of a workspace that work or, if it is asked for, ever did.
pub async fn newest(actors: &Actors, by: &Principal, slug: &str, ever: bool) -> Result<Seen> {
    by.require(Role::Member)?;
    let workspace = workspaces::find(actors, by, slug).await?;
    let plan = Plan::parse(&whoami::namespace(actors, by).await?.plan);
    let (id, now) = (workspace.id, clock::now());
    let only = (by.role < Role::Admin).then_some(by.account);
    let read = actors.store.read(move |db| async move {
        let records = match ever {
            true => tokens::list(&db, id).await?,
            false => tokens::list_active(&db, id, now).await?,
        };
        Ok((records, tokens::count(&db, id, only).await?))
    });
    let (mut records, ever) = read.await?;
    let used = records.iter().filter(|record| record.is_active(now)).count();
    records.retain(|record| sees(by, record));
    records.sort_by_key(|record| std::cmp::Reverse(record.id));
    let tokens = records.into_iter().map(|record| dto(actors, record, now)).collect();
    Ok(Seen { tokens, ever, seats: seats(plan, used) })
}

/// The tokens that work in the namespace and that the caller sees, with their workspaces.
pub async fn of_namespace(actors: &Actors, by: &Principal) -> Result<Vec<(WorkspaceId, Token)>> {
    by.require(Role::Member)?;
    let (namespace, now) = (by.namespace, clock::now());
    let read = actors.store.read(move |db| async move { tokens::active_in_namespace(&db, namespace, now).await });
    let mut records = read.await?;
    records.retain(|record| sees(by, record));
    records.sort_by_key(|record| std::cmp::Reverse(record.id));
    Ok(records.into_iter().map(|record| (record.workspace, dto(actors, record, now))).collect())
}

/// One token.
pub async fn get(actors: &Actors, by: &Principal, slug: &str, id: &str) -> Result<Token> {
    by.require(Role::Member)?;
    let workspace = workspaces::find(actors, by, slug).await?;
    Ok(dto(actors, seen(actors, by, &workspace, slug, id).await?, clock::now()))
}

/// What a token takes of its limits at this moment.
#[derive(Debug, Clone, Copy)]
pub struct InUse {
    /// Requests of the last 60 seconds; none: it has no limit, and they are not counted.
    pub requests: Option<u32>,
    /// Its calls under way.
    pub calls: usize,
    /// Its open streams.
    pub streams: usize,
}

/// What a token that the caller was shown takes of its limits; none if it does not work any more.
pub fn in_use(actors: &Actors, token: &Token) -> Option<InUse> {
    let grant = actors.tokens.grant(token.id.parse().ok()?)?;
    let now = grant.window.peek(clock::monotonic_ns());
    let requests = (now.limit > 0).then(|| now.limit.saturating_sub(now.remaining));
    Some(InUse { requests, calls: grant.calls.load(Relaxed), streams: grant.streams.load(Relaxed) })
}

fn unknown_id(slug: &str) -> crate::error::Error {
    err::not_found(format!("No such token in {slug}")).with_hint(format!("aerostack workspace token list {slug}"))
}

/// Issues a token. A member issues tokens for itself, under the limit that everybody has.
pub async fn create(actors: &Actors, by: &Principal, slug: &str, input: CreateToken) -> Result<TokenCreated> {
    by.require(if input.requests_per_minute.is_some() { Role::Admin } else { Role::Member })?;
    let workspace = workspaces::find(actors, by, slug).await?;
    let wanted = IssueToken {
        workspace: workspace.id,
        name: input.name,
        expires_in_seconds: input.expires_in,
        member: (by.role < Role::Admin).then_some(by.account),
        requests_per_minute: input.requests_per_minute,
        scope: input.scope.unwrap_or_default(),
        by: by.clone(),
    };
    let issued = actors.tokens.issue(wanted).await?;
    Ok(created(actors, slug, issued))
}

/// An issued token, for the one time it is shown.
pub fn created(actors: &Actors, slug: &str, issued: IssuedToken) -> TokenCreated {
    let (gateway_url, raw) = (workspaces::gateway_url(actors, slug), issued.raw.expose_secret());
    let connection = Connection { slug, url: &gateway_url, token: Some(raw) };
    TokenCreated {
        token: raw.to_owned(),
        id: issued.record.id.to_string(),
        name: issued.record.name,
        hint: issued.record.hint,
        created_at: issued.record.created_at,
        expires_at: issued.record.expires_at,
        previous_until: issued.record.previous_until,
        scope: issued.record.scope,
        mcp_json: clients::mcp_json(&connection),
        snippets: clients::snippets(&connection).into_iter().map(snippet_dto).collect(),
        url: gateway_url,
    }
}

/// Gives a token another value, which is in this one answer. The value it had works until the overlap ends; without an
/// overlap it is dead when this returns.
pub async fn rotate(actors: &Actors, by: &Principal, slug: &str, id: &str, input: RotateToken) -> Result<TokenCreated> {
    by.require(Role::Member)?;
    let workspace = workspaces::find(actors, by, slug).await?;
    let token = seen(actors, by, &workspace, slug, id).await?.id;
    let overlap_seconds = input.overlap_seconds.unwrap_or(OVERLAP_SECONDS);
    let wanted = Rotate { workspace: workspace.id, token, overlap_seconds, by: by.clone() };
    Ok(created(actors, slug, actors.tokens.rotate(wanted).await?))
}

fn snippet_dto(snippet: clients::Snippet) -> Snippet {
    Snippet {
        client: snippet.client.to_owned(),
        title: snippet.title.to_owned(),
        file: snippet.file.map(str::to_owned),
        language: snippet.language.to_owned(),
        text: snippet.text,
        install_url: snippet.install_url,
    }
}

/// Changes what a token may use; every list and call is decided by it when this returns, and open streams are told.
pub async fn update(actors: &Actors, by: &Principal, slug: &str, id: &str, input: UpdateToken) -> Result<Token> {
    by.require(Role::Admin)?;
    let workspace = workspaces::find(actors, by, slug).await?;
    let token = id.parse::<TokenId>().map_err(|_not_an_id| unknown_id(slug))?;
    let change = ScopeToken { workspace: workspace.id, token, scope: input.scope, by: by.clone() };
    let record = actors.tokens.rescope(change).await?;
    actors.streams.changed(workspace.id, Kinds::ALL);
    Ok(dto(actors, record, clock::now()))
}

/// Revokes a token. It is dead when this returns; revoking it again changes nothing.
pub async fn revoke(actors: &Actors, by: &Principal, slug: &str, id: &str) -> Result<Token> {
    by.require(Role::Member)?;
    let workspace = workspaces::find(actors, by, slug).await?;
    let token = seen(actors, by, &workspace, slug, id).await?.id;
    let revoked = actors.tokens.revoke(NameToken { workspace: workspace.id, token, by: by.clone() }).await;
    // A foreign id is told the same as one that is none.
    let record = revoked.map_err(|error| if error.code() == ErrorCode::NotFound { unknown_id(slug) } else { error })?;
    Ok(dto(actors, record, clock::now()))
}

/// Revokes by name. Several active tokens of that name: 409, unless all are meant.
pub async fn revoke_by_name(actors: &Actors, by: &Principal, slug: &str, input: RevokeByName) -> Result<Page<Token>> {
    by.require(Role::Member)?;
    let workspace = workspaces::find(actors, by, slug).await?;
    let (records, now) = (all(actors, &workspace).await?, clock::now());
    let active: Vec<&TokenRecord> = records.iter().filter(|record| record.is_active(now) && sees(by, record)).collect();
    let named: Vec<TokenId> =
        active.iter().filter(|record| record.name == input.name).map(|record| record.id).collect();
    if named.is_empty() {
        let message = near::no_such("active token", &input.name, active.iter().map(|record| record.name.as_str()));
        return Err(err::not_found(message).with_hint(format!("aerostack workspace token list {slug}")));
    }
    if named.len() > 1 && !input.all {
        let ids: Vec<String> = named.iter().map(ToString::to_string).collect();
        return Err(err::conflict(format!("{} active tokens have this name", ids.len()))
            .with_hint(format!("revoke one by its id, or say all: {}", ids.join(", ")))
            .with_data(serde_json::json!({ "ids": ids })));
    }
    let mut data = Vec::with_capacity(named.len());
    for token in named {
        let record = actors.tokens.revoke(NameToken { workspace: workspace.id, token, by: by.clone() }).await?;
        data.push(dto(actors, record, now));
    }
    Ok(Page { data, next_cursor: None })
}

async fn held(actors: &Actors, by: &Principal, (slug, id): (&str, &str), seen: &IfMatch) -> Result<Principal> {
    let thing = async { Ok(("token", get(actors, by, slug, id).await?.id)) };
    seen.hold(actors, by, thing, async { Ok(lasting(&get(actors, by, slug, id).await?)) }).await
}

/// A token without what calls change.
fn lasting(token: &Token) -> Token {
    Token { last_used_at: None, ..token.clone() }
}

/// List tokens
#[utoipa::path(get, path = "/api/v1/admin/workspaces/{slug}/tokens", tag = "tokens", params(("slug" = String, Path), Paging),
    responses((status = 200, body = TokenPage), Problems))]
pub async fn list_route(admin: web::Data<Admin>, by: Caller, slug: Path<String>, paging: Query<Paging>) -> Reply {
    Ok(HttpResponse::Ok().json(list(&admin.actors, &by.0, &slug, &paging.0).await?))
}

/// Issue a token; its value is in this one answer
#[utoipa::path(post, path = "/api/v1/admin/workspaces/{slug}/tokens", tag = "tokens", params(("slug" = String, Path)),
    request_body = CreateToken, responses((status = 201, body = TokenCreated), Problems))]
pub async fn create_route(
    admin: web::Data<Admin>,
    by: Caller,
    slug: Path<String>,
    _: Query<Nothing>,
    body: Json<CreateToken>,
) -> Reply {
    let made = create(&admin.actors, &by.0, &slug, body.0).await?;
    let location = format!("{BASE}/workspaces/{slug}/tokens/{}", made.id);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(made))
}

/// Show a token
#[utoipa::path(get, path = "/api/v1/admin/workspaces/{slug}/tokens/{id}", tag = "tokens",
    params(("slug" = String, Path), ("id" = String, Path)), responses((status = 200, body = Token), Problems))]
pub async fn get_route(admin: web::Data<Admin>, by: Caller, path: Path<(String, String)>, _: Query<Nothing>) -> Reply {
    let shown = get(&admin.actors, &by.0, &path.0, &path.1).await?;
    Ok(tagged(&shown, &lasting(&shown)))
}

/// Change what a token may use; its value stays
#[utoipa::path(patch, path = "/api/v1/admin/workspaces/{slug}/tokens/{id}", tag = "tokens",
    params(("slug" = String, Path), ("id" = String, Path), IfMatch), request_body = UpdateToken,
    responses((status = 200, body = Token), Problems))]
pub async fn update_route(
    admin: web::Data<Admin>,
    by: Caller,
    path: Path<(String, String)>,
    _: Query<Nothing>,
    seen: IfMatch,
    body: Json<UpdateToken>,
) -> Reply {
    let by = held(&admin.actors, &by.0, (&path.0, &path.1), &seen).await?;
    Ok(HttpResponse::Ok().json(update(&admin.actors, &by, &path.0, &path.1, body.0).await?))
}

/// Revoke a token, at once and for ever
#[utoipa::path(delete, path = "/api/v1/admin/workspaces/{slug}/tokens/{id}", tag = "tokens",
    params(("slug" = String, Path), ("id" = String, Path), IfMatch),
    responses((status = 200, description = "The revoked token", body = Token), Problems))]
pub async fn revoke_route(
    admin: web::Data<Admin>,
    by: Caller,
    path: Path<(String, String)>,
    _: Query<Nothing>,
    seen: IfMatch,
) -> Reply {
    let by = held(&admin.actors, &by.0, (&path.0, &path.1), &seen).await?;
    Ok(HttpResponse::Ok().json(revoke(&admin.actors, &by, &path.0, &path.1).await?))
}

/// Give a token another value, which is in this one answer
#[utoipa::path(post, path = "/api/v1/admin/workspaces/{slug}/tokens/{id}/rotate", tag = "tokens",
    params(("slug" = String, Path), ("id" = String, Path)), request_body = RotateToken,
    responses((status = 200, body = TokenCreated), Problems))]
pub async fn rotate_route(
    admin: web::Data<Admin>,
    by: Caller,
    path: Path<(String, String)>,
    _: Query<Nothing>,
    body: Json<RotateToken>,
) -> Reply {
    Ok(HttpResponse::Ok().json(rotate(&admin.actors, &by.0, &path.0, &path.1, body.0).await?))
}

/// Revoke by name
#[utoipa::path(post, path = "/api/v1/admin/workspaces/{slug}/tokens:revoke", tag = "tokens", params(("slug" = String, Path)),
    request_body = RevokeByName, responses((status = 200, description = "The revoked tokens", body = Page<Token>), Problems))]
pub async fn revoke_by_name_route(
    admin: web::Data<Admin>,
    by: Caller,
    slug: Path<String>,
    _: Query<Nothing>,
    body: Json<RevokeByName>,
) -> Reply {
    Ok(HttpResponse::Ok().json(revoke_by_name(&admin.actors, &by.0, &slug, body.0).await?))
}
